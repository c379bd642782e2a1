-- Claims pending attempts: their release is refused from now on, and their age is counted from now.
-- KEYS: stock, holders, pending, meta. ARGV: the ledger's id; the attempt ids, 16 bytes each, in one string; then the user ids.
-- Returns one letter for each attempt: 1 if it was pending and is claimed, 0 if not.
local ledger = redis.call('HGET', KEYS[4], 'ledger')
if ARGV[1] ~= '' and ledger and ledger ~= '' and ledger ~= ARGV[1] then
  return string.rep('0', #ARGV - 2)
end
local found = redis.call('HMGET', KEYS[2], unpack(ARGV, 3))
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local codes, fields, entries = {}, {}, {}
for n = 1, #found do
  local attempt = string.sub(ARGV[2], n * 16 - 15, n * 16)
  if found[n] == 'p' .. attempt or found[n] == 'c' .. attempt then
    local user = ARGV[n + 2]
    fields[#fields + 1] = user
    fields[#fields + 1] = 'c' .. attempt
    entries[#entries + 1] = now
    entries[#entries + 1] = user
    codes[n] = '1'
  else
    codes[n] = '0'
  end
end
if #fields > 0 then
  redis.call('HSET', KEYS[2], unpack(fields))
  redis.call('ZADD', KEYS[3], unpack(entries))
end
return table.concat(codes)
