-- Closes an open sale until it is loaded anew, if its keys cannot be trusted, or anyway.
-- KEYS: stock, holders, pending, meta. ARGV: the ledger's id, ms that a closed sale without `meta` may stay, 1 to close anyway.
-- Returns nothing if it did not close the sale now, or why it did: `restarted` (the server was restarted, or replaced by
-- its replica, since the sale was loaded), `stock`, `pending` or `meta` (that key was lost), `balance` (stock + holders +
-- withdrawn is not the total: `holders` was lost, or somebody wrote into the keys), `told` (anyway).
-- INFO inside the script, so that on a cluster it asks the very node that has the sale.
--
-- `unlisted` says that holders in state p or c may be missing from `pending`: relist_pending puts them back.
local call = redis.call
local meta = call('HMGET', KEYS[4], 'state', 'run_id', 'ledger', 'total', 'withdrawn')
local mark = call('ZSCORE', KEYS[3], 'ledger:' .. (meta[3] or ARGV[1]))
if not meta[1] then
  if not mark then
    return false
  end
  call('HSET', KEYS[4], 'state', 'closed', 'ledger', ARGV[1], 'unlisted', '0')
  call('PEXPIRE', KEYS[4], ARGV[2])
  return 'meta'
end
if ARGV[1] ~= '' and meta[3] and meta[3] ~= '' and meta[3] ~= ARGV[1] then
  return false
end
if meta[1] ~= 'open' then
  return false
end
local stock, why = call('GET', KEYS[1]), nil
if not stock then
  why = 'stock'
elseif meta[4] and stock + call('HLEN', KEYS[2]) + (meta[5] or 0) ~= tonumber(meta[4]) then
  why = 'balance'
elseif meta[4] and not mark then
  why = 'pending'
elseif meta[2] ~= string.match(call('INFO', 'server'), 'run_id:(%x+)') then
  call('HSET', KEYS[4], 'state', 'closed')
  return 'restarted' -- with sound keys: nothing is missing from `pending`
elseif ARGV[3] == '1' then
  why = 'told'
else
  return false
end
call('HSET', KEYS[4], 'state', 'closed', 'unlisted', '0')
return why
