-- Lists pending attempts of at least this age, oldest first.
-- KEYS: stock, holders, pending, meta. ARGV: the ledger's id, age in ms, maximum number of attempts.
-- Returns { user id, attempt id (16 bytes), since in ms, ... }.
--
-- An entry of `pending` without a pending holder has no attempt id: `holders` was lost, and perhaps the order recorded since.
-- Such entries are not returned, and are deleted unless the sale is open, because a sale is not loaded while it has pending
-- entries. Deleting them is safe: the attempt is in the log, or its request was never answered.
local meta = redis.call('HMGET', KEYS[4], 'state', 'ledger')
if ARGV[1] ~= '' and meta[2] and meta[2] ~= '' and meta[2] ~= ARGV[1] then
  return {}
end
local time = redis.call('TIME')
local latest = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[2])
local entries = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', latest, 'WITHSCORES', 'LIMIT', 0, ARGV[3])
if #entries == 0 then
  return {}
end
local users = {}
for i = 1, #entries, 2 do
  users[#users + 1] = entries[i]
end
local found, reply, orphans = redis.call('HMGET', KEYS[2], unpack(users)), {}, {}
for i = 1, #found do
  local state = found[i] and string.sub(found[i], 1, 1)
  if state == 'p' or state == 'c' then
    reply[#reply + 1] = users[i]
    reply[#reply + 1] = string.sub(found[i], 2)
    reply[#reply + 1] = entries[2 * i]
  else
    orphans[#orphans + 1] = users[i]
  end
end
if #orphans > 0 and meta[1] ~= 'open' then
  redis.call('ZREM', KEYS[3], unpack(orphans))
end
return reply
