-- The server's clock, by which sales open and close. Reads only.
-- KEYS: one that is not looked at; on a cluster it chooses the node. Returns milliseconds of the epoch.
local time = redis.call('TIME')
return time[1] * 1000 + math.floor(time[2] / 1000)
