-- The reports of all processes, and the server's time. Reads only.
-- KEYS: nodes. Returns { time (ms), { report, ... } }; each report begins with the time at which it was written (ms) and a space.
local time = redis.call('TIME')
local reports = {}
local cursor = '0'
repeat
  local page = redis.call('HSCAN', KEYS[1], cursor, 'COUNT', 100)
  cursor = page[1]
  for i = 2, #page[2], 2 do
    reports[#reports + 1] = page[2][i]
  end
until cursor == '0'
return { time[1] * 1000 + math.floor(time[2] / 1000), reports }
