-- One page of the shoppers who hold a unit, with what they hold. Reads only.
-- KEYS: holders. ARGV: cursor, about how many. Returns { next cursor, user id, state letter and attempt id, ... }.
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local reply = { page[1] }
for i = 1, #page[2] do
  reply[i + 1] = page[2][i]
end
return reply
