-- Deletes a sale without pending attempts, as if the server had lost it.
-- KEYS: stock, holders, pending, meta. ARGV: the ledger's id. Returns 1, or 0 when an attempt is pending.
local ledger = redis.call('HGET', KEYS[4], 'ledger')
local foreign = ARGV[1] ~= '' and ledger and ledger ~= '' and ledger ~= ARGV[1]
local mark = redis.call('ZSCORE', KEYS[3], 'ledger:' .. (ledger or ARGV[1])) and 1 or 0
if not foreign and redis.call('ZCARD', KEYS[3]) > mark then
  return 0
end
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
return 1
