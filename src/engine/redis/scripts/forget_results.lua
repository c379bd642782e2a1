-- Forgets results that still stand as given.
-- KEYS: results (on a cluster one a call: they share no slot). ARGV: how many of the next keys are to stand as which result,
-- and how a version without ledger ids would have written it, in threes.
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
