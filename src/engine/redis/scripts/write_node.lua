-- Stores the report of one process with the server's time. In each fifth second it also removes reports of processes that have
-- ended: readers pass them over, so they need not go at once, and reading all reports in every call would cost more.
-- KEYS: nodes. ARGV: id of the process, its report, how long a report counts (ms). Returns 1.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f ', now) .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
if time[1] % 5 ~= 0 then
  return 1
end
local cursor = '0'
repeat
  local page = redis.call('HSCAN', KEYS[1], cursor, 'COUNT', 100)
  cursor = page[1]
  for i = 1, #page[2], 2 do
    local written = tonumber(string.match(page[2][i + 1], '^%d+'))
    if not written or now - written > tonumber(ARGV[3]) then
      redis.call('HDEL', KEYS[1], page[2][i])
    end
  end
until cursor == '0'
return 1
