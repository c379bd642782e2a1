-- Forgets results that still stand as given.
-- KEYS: results (on a cluster one a call: they share no slot). ARGV: for each key SUCCESS:<sale> or FAILED:<sale>.
for i = 1, #KEYS do
  if redis.call('GET', KEYS[i]) == ARGV[i] then
    redis.call('UNLINK', KEYS[i])
  end
end
return 1
