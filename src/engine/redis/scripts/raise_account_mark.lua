-- Stores the highest account id that was assigned, unless a higher one is stored. The key does not expire.
-- KEYS: the account mark of the ledger. ARGV: an account id.
-- Ids are compared as strings without leading zeros, because Lua rounds numbers above 2^53.
local noted = redis.call('GET', KEYS[1])
local id = ARGV[1]
if not noted or #noted < #id or (#noted == #id and noted < id) then
  redis.call('SET', KEYS[1], id)
end
return 1
