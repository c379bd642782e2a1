-- Takes orders that the ledger has ended out of the gate: each unit can be reserved again, and its shopper may buy again.
-- KEYS: stock, holders, pending, meta, ended. ARGV: the ledger's id; PUBLISH or SPUBLISH and the channel on which the shoppers are
-- announced, as in 12:? 34:?; the attempt ids (16 bytes each) in one string; then the user ids.
-- Returns 1 if all orders are taken out, by this call or an earlier one. Returns 0 without any change if the sale is not open:
-- while it is being loaded, an older snapshot may still bring a holder back, so the call must be repeated.
--
-- `ended` keeps the attempt ids: a worker that settled one of them and was then paused may still record its order, which must
-- take no unit (record_outcomes.lua).
local call, sub = redis.call, string.sub
local FIRST = 5
local meta = call('HMGET', KEYS[4], 'state', 'run_id', 'ledger', 'expires')
if meta[1] ~= 'open' or (ARGV[1] ~= '' and meta[3] and meta[3] ~= '' and meta[3] ~= ARGV[1])
  or meta[2] ~= string.match(call('INFO', 'server'), 'run_id:(%x+)') or call('EXISTS', KEYS[1]) == 0
then
  return 0
end
local found, units = call('HMGET', KEYS[2], unpack(ARGV, FIRST)), 0
for n = 1, #found do
  local attempt, user = sub(ARGV[FIRST - 1], n * 16 - 15, n * 16), ARGV[FIRST + n - 1]
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
-- An error changes nothing here: nodes read results again from time to time.
redis.pcall(ARGV[2], ARGV[3], table.concat(ARGV, ':? ', FIRST) .. ':?')
return 1
