-- The state of a sale at one moment. Reads only.
-- KEYS: stock, holders, pending, meta. ARGV: the ledger's id.
-- Returns { } when unknown, { pending } when closed, and when open
-- { pending, available, start, end, returns, holders, version, total, 1 if `pending` has its mark, switch }, and then in
-- pairs the movements for which units are set aside: id, units (a pair may come twice). A sale that was loaded before the
-- server was restarted counts as closed, one of another ledger as unknown. A sale that was loaded by a program that knew
-- no terms has version 0 and the total that it has; without a switch it is on.
local meta = redis.call('HMGET', KEYS[4], 'state', 'start', 'end', 'returns', 'run_id', 'ledger', 'version', 'total',
  'switch', 'withdrawn')
if ARGV[1] ~= '' and meta[6] and meta[6] ~= '' and meta[6] ~= ARGV[1] then
  return {}
end
local mark = redis.call('ZSCORE', KEYS[3], 'ledger:' .. (meta[6] or ARGV[1])) and 1 or 0
local pending = redis.call('ZCARD', KEYS[3]) - mark
if not meta[1] then
  -- `meta` was lost, and the entries are of this ledger: what is pending is settled before the sale is loaded anew.
  return mark == 1 and { pending } or {}
end
local stock = meta[1] == 'open' and meta[5] == string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  and redis.call('GET', KEYS[1])
if not stock then
  return { pending }
end
local holders = redis.call('HLEN', KEYS[2])
if not meta[8] then
  mark = 1
end
local reply = { pending, stock, meta[2], meta[3], meta[4], holders, meta[7] or 0, meta[8] or stock + holders + (meta[10] or 0), mark,
  meta[9] or 'on' }
local cursor = meta[10] and '0'
while cursor do
  local page = redis.call('HSCAN', KEYS[4], cursor, 'MATCH', 'w:*', 'COUNT', 100)
  for i = 1, #page[2], 2 do
    reply[#reply + 1] = string.sub(page[2][i], 3)
    reply[#reply + 1] = page[2][i + 1]
  end
  cursor = page[1] ~= '0' and page[1]
end
return reply
