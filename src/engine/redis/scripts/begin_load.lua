-- Starts loading a sale: drops what was held of it and closes it until initialize_stock opens it.
-- KEYS: stock, holders, pending, meta, ended. ARGV: the ledger's id, token, lease in ms, ms that an abandoned load may stay.
-- What another ledger left is dropped, whatever its state. `ended` of this ledger stays: see record_outcomes.lua.
-- Returns 1 or, when the sale of another ledger was dropped, that ledger's id; 0 when the sale is open or another load is
-- younger than the lease.
local meta = redis.call('HMGET', KEYS[4], 'state', 'token', 'load_started', 'ledger', 'returns')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local foreign = ARGV[1] ~= '' and meta[4] and meta[4] ~= '' and meta[4] ~= ARGV[1]
if foreign then
  redis.call('UNLINK', KEYS[5])
elseif meta[1] == 'open' and redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
elseif meta[1] == 'loading' then
  if meta[2] == ARGV[2] then
    return 1 -- sent again: what this load has brought since must stay
  end
  local age = now - meta[3]
  if age >= 0 and age < tonumber(ARGV[3]) then
    return 0
  end
end
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
if meta[5] and not foreign then
  redis.call('HSET', KEYS[4], 'returns', meta[5])
end
redis.call('HSET', KEYS[4], 'state', 'loading', 'token', ARGV[2], 'load_started', string.format('%.0f', now),
  'run_id', string.match(redis.call('INFO', 'server'), 'run_id:(%x+)'), 'late', 0, 'ledger', ARGV[1])
redis.call('PEXPIRE', KEYS[4], ARGV[4])
return foreign and meta[4] or 1
