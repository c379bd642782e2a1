-- Forgets a sale of which nothing is pending, as if the server had been emptied of it.
-- KEYS: stock, holders, pending, meta. Returns 1, or 0 when an attempt is pending.
if redis.call('ZCARD', KEYS[3]) > 0 then
  return 0
end
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
return 1
