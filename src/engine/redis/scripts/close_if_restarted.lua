-- Closes an open sale when the server was restarted, or replaced by its replica, since the sale was loaded.
-- KEYS: stock, holders, pending, meta. Returns 1 if it did so now.
-- INFO inside the script, so that on a cluster it asks the very node that has the sale.
local meta = redis.call('HMGET', KEYS[4], 'state', 'run_id')
if meta[1] ~= 'open' or meta[2] == string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') then
  return 0
end
redis.call('HSET', KEYS[4], 'state', 'closed')
return 1
