-- Writes results for status reads; a FAILED never over a SUCCESS of the same sale of the same ledger.
-- KEYS: results (on a cluster one a call: they share no slot). ARGV: time to live in s; then, how many of the next keys
-- get which result, SUCCESS:<sale>:<ledger> or FAILED@<ledger>:<sale>, in pairs. Versions without ledger ids write
-- SUCCESS:<sale>, which counts as of this ledger.
local call, ttl, first = redis.call, ARGV[1], 1
for pair = 2, #ARGV, 2 do
  local last, result = first + ARGV[pair] - 1, ARGV[pair + 1]
  local ledger, sale = string.match(result, '^FAILED@?(%x*):(%d+)$')
  local older = sale and 'SUCCESS:' .. sale
  local success = sale and older .. ':' .. ledger
  for i = first, last do
    local key = KEYS[i]
    if not sale then
      call('SET', key, result, 'EX', ttl)
    elseif not call('SET', key, result, 'EX', ttl, 'NX') then
      -- Many press again and again: to read costs a third of writing the same once more. It lives as long as the first.
      local stands = call('GET', key)
      if stands ~= result and stands ~= success and stands ~= older then
        call('SET', key, result, 'EX', ttl)
      end
    end
  end
  first = last + 1
end
return 1
