-- Calls every command that the other scripts call, on keys of its own, to prove that the user may call it and that the server
-- accepts writes.
-- KEYS: a string, a hash, a sorted set and a set. ARGV: PUBLISH or SPUBLISH, and a channel. Returns the commands that the user may
-- not call, and the pattern of channels if the user may not publish there: { command, ... }.
-- If the server accepts no writes, the script fails with the server's error.
local missing = {}
local states = { READONLY = true, OOM = true, MISCONF = true, NOREPLICAS = true }
local function try(command, ...)
  local reply = redis.pcall(command, ...)
  if type(reply) == 'table' and reply.err then
    if states[string.match(reply.err, '^-?(%u+)')] then
      error(reply)
    end
    missing[#missing + 1] = string.lower(command)
  end
end
try('SET', KEYS[1], '1', 'PX', 10000)
try('GET', KEYS[1])
try('INCR', KEYS[1])
try('INCRBY', KEYS[1], 1)
try('DECRBY', KEYS[1], 2)
try('EXISTS', KEYS[1])
try('PTTL', KEYS[1])
try('PEXPIRE', KEYS[1], 10000)
try('PEXPIREAT', KEYS[1], '32503680000000')
try('HSET', KEYS[2], 'a', '1', 'b', '1')
try('HGET', KEYS[2], 'a')
try('HMGET', KEYS[2], 'a', 'b')
try('HLEN', KEYS[2])
try('HSCAN', KEYS[2], '0', 'COUNT', 1)
try('HINCRBY', KEYS[2], 'a', 1)
try('HDEL', KEYS[2], 'a')
try('ZADD', KEYS[3], 1, 'a')
try('ZCARD', KEYS[3])
try('ZRANGEBYSCORE', KEYS[3], '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
try('ZSCORE', KEYS[3], 'a')
try('ZREM', KEYS[3], 'a')
try('SADD', KEYS[4], 'a')
try('SISMEMBER', KEYS[4], 'a')
try('SREM', KEYS[4], 'a')
try('TIME')
try('INFO', 'server')
-- A server of an older version has no SPUBLISH, and knows no listeners of it.
local function is_unknown(cause)
  return string.find(cause, 'unknown', 1, true)
end
local count = ARGV[1] == 'SPUBLISH' and 'SHARDNUMSUB' or 'NUMSUB'
local asked = redis.pcall('PUBSUB', count, ARGV[2])
if asked.err and not is_unknown(string.lower(asked.err)) then
  missing[#missing + 1] = 'pubsub|' .. string.lower(count)
end
local told = redis.pcall(ARGV[1], ARGV[2], '')
if type(told) == 'table' and told.err then
  local cause = string.lower(told.err)
  if string.find(cause, 'channel', 1, true) then
    missing[#missing + 1] = '&flashsale:*'
  elseif not is_unknown(cause) then
    missing[#missing + 1] = string.lower(ARGV[1])
  end
end
-- A user without the right to UNLINK leaves nothing behind for long.
for i = 1, 4 do
  redis.pcall('PEXPIRE', KEYS[i], 10000)
end
try('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
return missing
