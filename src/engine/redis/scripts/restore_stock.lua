-- Releases the unit of an attempt that is certainly not in the log. Works in every state of the sale.
-- KEYS: stock, holders, pending, meta. ARGV: the ledger's id, user id, attempt id (16 bytes).
-- Returns R released, C claimed, N not held by this attempt.
local ledger = redis.call('HGET', KEYS[4], 'ledger')
if ARGV[1] ~= '' and ledger and ledger ~= '' and ledger ~= ARGV[1] then
  return 'N'
end
local holder = redis.call('HGET', KEYS[2], ARGV[2])
if holder == 'c' .. ARGV[3] then
  return 'C'
elseif holder ~= 'p' .. ARGV[3] then
  return 'N'
end
redis.call('HDEL', KEYS[2], ARGV[2])
redis.call('ZREM', KEYS[3], ARGV[2])
if redis.call('EXISTS', KEYS[1], KEYS[4]) == 2 then
  redis.call('INCR', KEYS[1])
  redis.call('HINCRBY', KEYS[4], 'returns', 1)
end
return 'R'
