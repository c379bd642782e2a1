-- Opens a loaded sale.
-- KEYS: stock, holders, pending, meta, ended. ARGV: the ledger's id, token; of one
-- snapshot of the ledger: remaining units, version, total (its initial stock), start, end, expiry (ms) and switch (`on`, `paused`,
-- `cancelled`); then in pairs the movements that are PENDING in it: id, units.
--
-- Units of those are set aside, as many as there are: the ledger still counts them, and a gate that was lost after it had set
-- them aside must not sell them.
-- The entry of `pending` that has no holder marks it: an open sale whose `pending` has none has lost it. It names the ledger.
-- Returns 1, or 0 when the load was superseded, or the server was restarted during it and may have forgotten a part.
local meta = redis.call('HMGET', KEYS[4], 'state', 'token', 'run_id', 'late', 'returns')
if meta[2] ~= ARGV[2] then
  return 0
elseif meta[1] == 'open' then
  return 1 -- sent again: units may have been taken since
elseif meta[1] ~= 'loading' or meta[3] ~= string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') then
  return 0
end
-- `returns` never takes a value that it had before, even when the counter itself was lost: it starts at the clock's
-- microseconds, which run ahead of any count.
local time = redis.call('TIME')
local returns = math.max(time[1] * 1000000 + time[2], tonumber(meta[5] or 0) + 1)
local stock, withdrawn = ARGV[3] - meta[4], 0
for i = 10, #ARGV, 2 do
  local units = math.min(tonumber(ARGV[i + 1]), math.max(stock, 0))
  stock, withdrawn = stock - units, withdrawn + units
  redis.call('HSET', KEYS[4], 'w:' .. ARGV[i], string.format('%.0f', units),
    'withdrawn', string.format('%.0f', withdrawn))
end
redis.call('SET', KEYS[1], string.format('%.0f', stock))
redis.call('HSET', KEYS[4], 'state', 'open', 'version', ARGV[4], 'total', ARGV[5],
  'start', ARGV[6], 'end', ARGV[7], 'expires', ARGV[8], 'switch', ARGV[9],
  'late', 0, 'returns', string.format('%.0f', returns))
redis.call('ZADD', KEYS[3], '+inf', 'ledger:' .. ARGV[1])
for i = 1, 5 do
  redis.call('PEXPIREAT', KEYS[i], ARGV[8])
end
return 1
