-- Lists pending attempts of at least this age, oldest first. Reads only.
-- KEYS: stock, holders, pending, meta. ARGV: age in ms, how many at most.
-- Returns { user id, attempt id (16 bytes), since in ms, ... }.
local time = redis.call('TIME')
local latest = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[1])
local entries = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', latest, 'WITHSCORES', 'LIMIT', 0, ARGV[2])
if #entries == 0 then
  return {}
end
local users = {}
for i = 1, #entries, 2 do
  users[#users + 1] = entries[i]
end
local found, reply = redis.call('HMGET', KEYS[2], unpack(users)), {}
for i = 1, #found do
  if found[i] then
    reply[#reply + 1] = users[i]
    reply[#reply + 1] = string.sub(found[i], 2)
    reply[#reply + 1] = entries[2 * i]
  end
end
return reply
