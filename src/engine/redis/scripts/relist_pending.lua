-- Adds pending holders that are missing from `pending` to it, one page a call, while the sale is closed and has `unlisted`.
-- KEYS: stock, holders, pending, meta. ARGV: the ledger's id, approximate number of holders in a page.
-- Returns { 1 while pages are left, the number of holders that were added }.
local call, sub = redis.call, string.sub
local meta = call('HMGET', KEYS[4], 'state', 'ledger', 'unlisted')
if meta[1] ~= 'closed' or not meta[3] or (ARGV[1] ~= '' and meta[2] and meta[2] ~= '' and meta[2] ~= ARGV[1]) then
  return { 0, 0 }
end
local page = call('HSCAN', KEYS[2], meta[3], 'COUNT', ARGV[2])
local time = call('TIME')
local now, found = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)), 0
for i = 1, #page[2], 2 do
  local state = sub(page[2][i + 1], 1, 1)
  if state == 'p' or state == 'c' then
    found = found + call('ZADD', KEYS[3], 'NX', now, page[2][i])
  end
end
if page[1] == '0' then
  call('HDEL', KEYS[4], 'unlisted')
  return { 0, found }
end
call('HSET', KEYS[4], 'unlisted', page[1])
return { 1, found }
