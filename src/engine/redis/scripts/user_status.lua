-- How a shopper stands in a sale and, where one server has both keys, the result that was written for them; read at one
-- moment, so that a settlement in between cannot show an older result. Reads only.
-- KEYS: holders, and perhaps the result. ARGV: user id.
-- Returns { state letter or nothing, result or nothing }.
local holder = redis.call('HGET', KEYS[1], ARGV[1])
if holder then
  return { string.sub(holder, 1, 1), '' }
end
return { '', KEYS[2] and redis.call('GET', KEYS[2]) or '' }
