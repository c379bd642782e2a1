-- Sets units of an open sale aside for a movement of the ledger: nobody can reserve them.
-- KEYS: stock, holders, pending, meta. ARGV: the ledger's id, the movement's id (32 hex digits), units, 1 if fewer may be set
-- aside, the version of the terms that the caller saw before it found the movement PENDING.
-- Returns how many are set aside for the movement, now or by an earlier call. If nothing is changed: -1 unless the sale is open,
-- -2 if none are set aside for the movement and newer terms are in force: it may be closed and cleared since.
--
-- The balance stock + holders + withdrawn = total holds: the units move from `stock` to `withdrawn`, which is the sum of the
-- fields `w:<movement>`. set_terms clears a field once the ledger has closed the movement; until then a repetition finds it,
-- also if it is 0, so that a shop that was told "none" is not surprised by a call that comes late.
local call = redis.call
local field = 'w:' .. ARGV[2]
local meta = call('HMGET', KEYS[4], 'state', 'run_id', 'ledger', field, 'version')
local stock = meta[1] == 'open' and not (ARGV[1] ~= '' and meta[3] and meta[3] ~= '' and meta[3] ~= ARGV[1])
  and meta[2] == string.match(call('INFO', 'server'), 'run_id:(%x+)')
  and call('GET', KEYS[1])
if not stock then
  return -1
elseif meta[4] then
  return tonumber(meta[4])
elseif tonumber(meta[5] or 0) > tonumber(ARGV[5]) then
  return -2
end
local wanted, available = tonumber(ARGV[3]), math.max(tonumber(stock), 0)
local units = (wanted <= available and wanted) or (ARGV[4] == '1' and available) or 0
local text = string.format('%.0f', units)
if units > 0 then
  call('DECRBY', KEYS[1], text)
end
call('HSET', KEYS[4], field, text)
call('HINCRBY', KEYS[4], 'withdrawn', text)
return units
