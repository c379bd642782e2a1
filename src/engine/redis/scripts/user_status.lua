-- How a shopper stands in a sale and, where one server has all keys, the result that was written for them; read at one
-- moment, so that a settlement in between cannot show an older result. Reads only.
-- KEYS: holders, meta, and perhaps the result. ARGV: user id.
-- Returns { state letter or nothing, 1 while the sale is known and not in force, result or nothing }. It is not in force
-- while it is being loaded, and from a restart of the server on: then a holder may have been forgotten.
local holder = redis.call('HGET', KEYS[1], ARGV[1])
if holder then
  return { string.sub(holder, 1, 1), 0, '' }
end
local meta = redis.call('HMGET', KEYS[2], 'state', 'run_id')
local forgot = meta[1] and (meta[1] ~= 'open' or meta[2] ~= string.match(redis.call('INFO', 'server'), 'run_id:(%x+)'))
return { '', forgot and 1 or 0, KEYS[3] and redis.call('GET', KEYS[3]) or '' }
