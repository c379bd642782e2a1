-- Applies newer terms to an open sale.
-- KEYS: stock, holders, pending, meta, ended. ARGV: the ledger's id, version, total (the ledger's initial stock), start, end
-- and expiry (ms). Returns 1 if these or newer terms are in force, or 0 when the sale is not open.
--
-- An older version changes nothing, so that two workers with listings of different age do not undo each other. Units are
-- added and taken by the difference of the totals; `stock` goes below zero when more is given out than there is now. A
-- sale that was loaded by a program that knew no terms has no version and no total: it takes these, and the mark.
local call = redis.call
local meta = call('HMGET', KEYS[4], 'state', 'ledger', 'version', 'total')
local stock = call('GET', KEYS[1])
if meta[1] ~= 'open' or not stock or (ARGV[1] ~= '' and meta[2] and meta[2] ~= '' and meta[2] ~= ARGV[1]) then
  return 0
end
if tonumber(meta[3] or 0) >= tonumber(ARGV[2]) then
  return 1
end
local before = meta[4] or stock + call('HLEN', KEYS[2])
local units = ARGV[3] - before
if units ~= 0 then
  call('INCRBY', KEYS[1], string.format('%.0f', units))
end
if units > 0 then
  call('HINCRBY', KEYS[4], 'returns', 1)
end
if not meta[4] then
  call('ZADD', KEYS[3], '+inf', 'ledger:' .. ARGV[1])
end
call('HSET', KEYS[4], 'ledger', ARGV[1], 'version', ARGV[2], 'total', ARGV[3], 'start', ARGV[4], 'end', ARGV[5],
  'expires', ARGV[6])
for i = 1, 5 do
  call('PEXPIREAT', KEYS[i], ARGV[6])
end
return 1
