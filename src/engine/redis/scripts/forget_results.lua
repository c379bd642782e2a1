-- Deletes results that are still stored as given.
-- KEYS: results (on a cluster one key a call, since they share no slot). ARGV: in triples, a number of next keys, the result that
-- they must have, and the same result as written by a version without ledger ids.
local first = 1
for three = 1, #ARGV, 3 do
  local last = first + ARGV[three] - 1
  for i = first, last do
    local stands = redis.call('GET', KEYS[i])
    if stands == ARGV[three + 1] or stands == ARGV[three + 2] then
      redis.call('UNLINK', KEYS[i])
    end
  end
  first = last + 1
end
return 1
