-- Writes results for status reads. A FAILED never replaces a SUCCESS of the same sale and ledger.
-- KEYS: results (on a cluster one key a call, since they share no slot). ARGV: time to live in s; then in pairs, a number of next
-- keys and their result, SUCCESS:<sale>:<ledger> or FAILED@<ledger>:<sale>. Versions without ledger ids write SUCCESS:<sale>,
-- which counts as a result of this ledger. Returns the numbers of the keys whose result is another one now, from 1.
local call, ttl, first = redis.call, ARGV[1], 1
local changed = {}
for pair = 2, #ARGV, 2 do
  local last, result = first + ARGV[pair] - 1, ARGV[pair + 1]
  local ledger, sale = string.match(result, '^FAILED@?(%x*):(%d+)$')
  local older = sale and 'SUCCESS:' .. sale
  local success = sale and older .. ':' .. ledger
  for i = first, last do
    local key = KEYS[i]
    if not sale then
      call('SET', key, result, 'EX', ttl)
      changed[#changed + 1] = i
    elseif not call('SET', key, result, 'EX', ttl, 'NX') then
      -- Shoppers press repeatedly, and a read costs a third of a write. So an unchanged FAILED is not written again, and expires
      -- when its first write does.
      local stands = call('GET', key)
      if stands ~= result and stands ~= success and stands ~= older then
        call('SET', key, result, 'EX', ttl)
        changed[#changed + 1] = i
      end
    else
      changed[#changed + 1] = i
    end
  end
  first = last + 1
end
return changed
