-- The server's clock, by which sales open and close. Reads only.
-- KEYS: any key; it is not used, and on a cluster selects the node. Returns milliseconds since the Unix epoch.
local time = redis.call('TIME')
return time[1] * 1000 + math.floor(time[2] / 1000)
