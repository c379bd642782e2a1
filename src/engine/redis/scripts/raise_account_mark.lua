-- Notes the highest account id that was handed out. A higher note stays. It does not expire.
-- KEYS: the note of the ledger. ARGV: an id.
-- Ids are compared as texts without leading zeros: as Lua's numbers, those above 2^53 would be rounded.
local noted = redis.call('GET', KEYS[1])
local id = ARGV[1]
if not noted or #noted < #id or (#noted == #id and noted < id) then
  redis.call('SET', KEYS[1], id)
end
return 1
