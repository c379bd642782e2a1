-- The state of a sale at one moment. Reads only.
-- KEYS: stock, holders, pending, meta.
-- Returns { } when unknown, { pending } when closed, { pending, available, start, end, returns, holders } when open. A
-- sale that was loaded before the server was restarted counts as closed.
local meta = redis.call('HMGET', KEYS[4], 'state', 'start', 'end', 'returns', 'run_id')
if not meta[1] then
  return {}
end
local pending = redis.call('ZCARD', KEYS[3])
local stock = meta[1] == 'open' and meta[5] == string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  and redis.call('GET', KEYS[1])
if not stock then
  return { pending }
end
return { pending, stock, meta[2], meta[3], meta[4], redis.call('HLEN', KEYS[2]) }
