-- Forgets results that still stand as given.
-- KEYS: results (on a cluster one a call: they share no slot). ARGV: how many of the next keys are to stand as which result,
-- SUCCESS:<sale> or FAILED:<sale>, in pairs.
local first = 1
for pair = 1, #ARGV, 2 do
  local last = first + ARGV[pair] - 1
  for i = first, last do
    if redis.call('GET', KEYS[i]) == ARGV[pair + 1] then
      redis.call('UNLINK', KEYS[i])
    end
  end
  first = last + 1
end
return 1
