-- Writes results for status reads; a FAILED never over a SUCCESS of the same sale.
-- KEYS: results (on a cluster one a call: they share no slot). ARGV: time to live in s; then for each key SUCCESS:<sale>
-- or FAILED:<sale>.
for i = 1, #KEYS do
  local result = ARGV[i + 1]
  local sale = string.match(result, '^FAILED(:.*)')
  if not sale then
    redis.call('SET', KEYS[i], result, 'EX', ARGV[1])
  elseif not redis.call('SET', KEYS[i], result, 'EX', ARGV[1], 'NX') then
    -- Many press again and again: to read costs a third of writing the same once more. It lives as long as the first.
    local stands = redis.call('GET', KEYS[i])
    if stands ~= result and stands ~= 'SUCCESS' .. sale then
      redis.call('SET', KEYS[i], result, 'EX', ARGV[1])
    end
  end
end
return 1
