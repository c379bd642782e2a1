-- Takes orders out of the gate that the ledger has ended: the unit can be bought again, and the shopper may buy again.
-- KEYS: stock, holders, pending, meta, ended. ARGV: the ledger's id, the attempt ids (16 bytes each) in one string; then the
-- user ids.
-- Returns 1 if all of them took effect, now or before. 0, and nothing is changed, unless the sale is open: while it is being
-- loaded, an older snapshot may still bring the holder back, so they must be sent again.
--
-- `ended` keeps the attempts: whoever settled one of them and was paused may still come to record its order, which stands
-- no more (record_outcomes.lua).
local call, sub = redis.call, string.sub
local meta = call('HMGET', KEYS[4], 'state', 'run_id', 'ledger', 'expires')
if meta[1] ~= 'open' or (ARGV[1] ~= '' and meta[3] and meta[3] ~= '' and meta[3] ~= ARGV[1])
  or meta[2] ~= string.match(call('INFO', 'server'), 'run_id:(%x+)') or call('EXISTS', KEYS[1]) == 0
then
  return 0
end
local found, units = call('HMGET', KEYS[2], unpack(ARGV, 3)), 0
for n = 1, #found do
  local attempt, user = sub(ARGV[2], n * 16 - 15, n * 16), ARGV[n + 2]
  call('SADD', KEYS[5], attempt)
  if found[n] and sub(found[n], 2) == attempt then
    units = units + call('HDEL', KEYS[2], user)
    call('ZREM', KEYS[3], user)
  end
end
if units > 0 then
  call('INCRBY', KEYS[1], units)
  call('HINCRBY', KEYS[4], 'returns', units)
end
call('PEXPIREAT', KEYS[5], meta[4])
return 1
