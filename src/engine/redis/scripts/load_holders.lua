-- Adds shoppers who have an order, while their sale is being loaded.
-- KEYS: stock, holders, pending, meta, ended. ARGV: the ledger's id, token, ms until an abandoned load expires, the attempt ids
-- (16 bytes each) in one string; then the user ids, at most 3,000 (unpack() puts its values on the stack).
-- Returns 1, or 0 when the load was superseded.
local meta = redis.call('HMGET', KEYS[4], 'state', 'token')
if meta[1] ~= 'loading' or meta[2] ~= ARGV[2] then
  return 0
end
if #ARGV > 4 then
  -- The snapshot is newer than every entry of `ended`, because end_orders changes nothing while a sale is being loaded. So an
  -- attempt that is in both has an order again.
  if redis.call('EXISTS', KEYS[5]) == 1 then
    for n = 1, #ARGV - 4 do
      redis.call('SREM', KEYS[5], string.sub(ARGV[4], n * 16 - 15, n * 16))
    end
  end
  local found, fields, seen, late = redis.call('HMGET', KEYS[2], unpack(ARGV, 5)), {}, {}, 0
  for n = 1, #found do
    local user = ARGV[n + 4]
    if not seen[user] then
      seen[user] = true
      -- The order was recorded during this load, before the snapshot brought it. The snapshot's units already count it, so
      -- `late` must not.
      if found[n] and string.sub(found[n], 1, 1) == 'l' then
        late = late + 1
      end
      fields[#fields + 1] = user
      fields[#fields + 1] = 's' .. string.sub(ARGV[4], n * 16 - 15, n * 16)
    end
  end
  redis.call('HSET', KEYS[2], unpack(fields))
  if late > 0 then
    redis.call('HINCRBY', KEYS[4], 'late', -late)
  end
end
redis.call('PEXPIRE', KEYS[2], ARGV[3])
redis.call('PEXPIRE', KEYS[4], ARGV[3])
return 1
