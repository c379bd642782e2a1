-- One page of the shoppers who hold a unit, with the state and the attempt of the unit. Reads only.
-- KEYS: holders, meta. ARGV: the ledger's id, cursor, approximate size of the page.
-- Returns { next cursor, user id, state letter and attempt id, ... }.
local ledger = redis.call('HGET', KEYS[2], 'ledger')
if ARGV[1] ~= '' and ledger and ledger ~= '' and ledger ~= ARGV[1] then
  return { '0' }
end
local page = redis.call('HSCAN', KEYS[1], ARGV[2], 'COUNT', ARGV[3])
local reply = { page[1] }
for i = 1, #page[2] do
  reply[i + 1] = page[2][i]
end
return reply
