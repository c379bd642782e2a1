-- Applies newer terms to an open sale, and gives back what was set aside for movements that are closed in the ledger.
-- KEYS: stock, holders, pending, meta, ended. ARGV: the ledger's id, version, total (the ledger's initial stock), start,
-- end, expiry (ms) and switch (`on`, `paused`, `cancelled`); then the closed movements.
-- Returns { } when the sale is not open; else { 1 if exactly these terms are in force now, the version in force }. With 0 nothing
-- was changed: newer terms are in force or, after the ledger was set back, others of the same version.
--
-- An older version changes nothing, so that two workers with listings of different age do not undo each other. Units are
-- added and taken by the difference of the totals; `stock` goes below zero when more is given out than there is now. A
-- sale that was loaded by a program that knew no terms has no version and no total: it takes these, and the mark.
--
-- The total of these terms no longer counts units that left the sale by the closed movements. They left `stock` when they
-- were set aside, so the difference of the totals would take them a second time: what is cleared goes back to `stock`
-- in the same step. With the version in force it is cleared as well: another process may have applied that version
-- without the list. With other terms it is not: their total may count those units still.
local call = redis.call
local meta = call('HMGET', KEYS[4], 'state', 'ledger', 'version', 'total', 'withdrawn',
  'start', 'end', 'switch')
local stock = call('GET', KEYS[1])
if meta[1] ~= 'open' or not stock or (ARGV[1] ~= '' and meta[2] and meta[2] ~= '' and meta[2] ~= ARGV[1]) then
  return {}
end
local version, in_force = tonumber(ARGV[2]), tonumber(meta[3] or 0)
local others = meta[6] ~= ARGV[4] or meta[7] ~= ARGV[5] or (meta[8] or 'on') ~= ARGV[7]
if in_force > version or (in_force == version and (others or tonumber(meta[4]) ~= tonumber(ARGV[3]))) then
  return { 0, in_force }
end
local cleared, newer = 0, in_force < version
for i = 8, #ARGV do
  local units = call('HGET', KEYS[4], 'w:' .. ARGV[i])
  if units then
    cleared = cleared + units
    call('HDEL', KEYS[4], 'w:' .. ARGV[i])
  end
end
local units = cleared
local may_sell = false
if newer then
  may_sell = others
  units = units + ARGV[3] - (meta[4] or stock + call('HLEN', KEYS[2]) + (meta[5] or 0))
end
if cleared > 0 then
  call('HINCRBY', KEYS[4], 'withdrawn', string.format('%.0f', -cleared))
end
if units ~= 0 then
  call('INCRBY', KEYS[1], string.format('%.0f', units))
end
-- Invalidates the sold-out marks that API nodes have cached.
if units > 0 or may_sell then
  call('HINCRBY', KEYS[4], 'returns', 1)
end
if not newer then
  return { 1, version }
end
if not meta[4] then
  call('ZADD', KEYS[3], '+inf', 'ledger:' .. ARGV[1])
end
call('HSET', KEYS[4], 'ledger', ARGV[1], 'version', ARGV[2], 'total', ARGV[3], 'start', ARGV[4], 'end', ARGV[5],
  'expires', ARGV[6], 'switch', ARGV[7])
for i = 1, 5 do
  call('PEXPIREAT', KEYS[i], ARGV[6])
end
return { 1, version }
