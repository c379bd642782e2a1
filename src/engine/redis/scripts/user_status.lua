-- How a shopper stands in a sale and, where one server has all keys, the result that was written for them; read at one
-- moment, so that a settlement in between cannot show an older result. Reads only.
-- KEYS: holders, meta, and perhaps the result. ARGV: user id.
-- Returns { state letter or nothing, 1 while the sale is closed to be loaded, result or nothing }.
local holder = redis.call('HGET', KEYS[1], ARGV[1])
if holder then
  return { string.sub(holder, 1, 1), 0, '' }
end
local state = redis.call('HGET', KEYS[2], 'state')
return { '', (state and state ~= 'open') and 1 or 0, KEYS[3] and redis.call('GET', KEYS[3]) or '' }
