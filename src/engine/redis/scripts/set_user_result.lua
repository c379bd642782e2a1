-- Writes results for status reads, and announces them. A FAILED never replaces a SUCCESS of the same sale and ledger.
-- KEYS: results (on a cluster one key a call, since they share no slot), whose second last part is the shopper. ARGV: time to live
-- in s; PUBLISH, or '' if nothing is announced here; then in threes, a number of next keys, their result, SUCCESS:<sale>:<ledger> or
-- FAILED@<ledger>:<sale>, and the sale's channel, on which 12:? 34:? says whose results are to be read. Versions without ledger ids
-- write SUCCESS:<sale>, which counts as a result of this ledger.
-- Returns how many results are other ones now.
local call, ttl, first, written = redis.call, ARGV[1], 1, 0

-- Most sales have no listener: then this question is all that it costs. If it is not answered, results are announced.
local function is_heard(channel)
  local asked = redis.pcall('PUBSUB', 'NUMSUB', channel)
  return asked.err or asked[2] > 0
end

for three = 3, #ARGV, 3 do
  local last, result, channel = first + ARGV[three] - 1, ARGV[three + 1], ARGV[three + 2]
  local ledger, sale = string.match(result, '^FAILED@?(%x*):(%d+)$')
  local older = sale and 'SUCCESS:' .. sale
  local success = sale and older .. ':' .. ledger
  local news = ARGV[2] ~= '' and is_heard(channel) and {}
  for i = first, last do
    local key = KEYS[i]
    local changed = true
    if not sale then
      call('SET', key, result, 'EX', ttl)
    elseif not call('SET', key, result, 'EX', ttl, 'NX') then
      -- Shoppers press repeatedly, and a read costs a third of a write. So an unchanged FAILED is not written again, and expires
      -- when its first write does.
      local stands = call('GET', key)
      changed = stands ~= result and stands ~= success and stands ~= older
      if changed then
        call('SET', key, result, 'EX', ttl)
      end
    end
    if changed then
      written = written + 1
      if news then
        news[#news + 1] = string.match(key, ':(%d+):%d+$') .. ':?'
      end
    end
  end
  if news and #news > 0 then
    redis.pcall(ARGV[2], channel, table.concat(news, ' '))
  end
  first = last + 1
end
return written
