-- Sets the window of an open sale anew.
-- KEYS: stock, holders, pending, meta. ARGV: start, end and expiry (ms). Returns 1, or 0 when the sale is not open.
if redis.call('HGET', KEYS[4], 'state') ~= 'open' then
  return 0
end
redis.call('HSET', KEYS[4], 'start', ARGV[1], 'end', ARGV[2], 'expires', ARGV[3])
for i = 1, 4 do
  redis.call('PEXPIREAT', KEYS[i], ARGV[3])
end
return 1
