-- Takes a unit for each of many shoppers of one sale, in order.
-- KEYS: stock, holders, pending, meta.
-- ARGV: the ledger's id; the attempt ids, 16 bytes each, in one string; then the user ids.
-- Returns { codes, held... }: one letter a shopper (R reserved, S sold out, N not started, E ended or cancelled, P paused,
-- X closed, H already held), and for each H, in order, the holder's value as it was found (state letter and attempt id).
--
-- Few calls a batch rather than a few a shopper: that is what makes a batch cheap. `written` keeps what the batch has
-- done so far, so that a shopper who comes twice in it is treated as in two calls.
local call, sub = redis.call, string.sub
local CHUNK = 3000 -- unpack() puts its values on Lua's stack, which ends at 8,000
local shoppers = #ARGV - 2
-- After a restart of the server nothing is decided before the sale is loaded anew: writes may be lost. A sale of another
-- ledger is closed until a worker of this ledger loads it.
local meta = call('HMGET', KEYS[4], 'state', 'start', 'end', 'expires', 'run_id', 'ledger', 'switch')
local stock = meta[1] == 'open' and (not meta[6] or meta[6] == ARGV[1] or meta[6] == '' or ARGV[1] == '')
  and meta[5] == string.match(call('INFO', 'server'), 'run_id:(%x+)')
  and call('GET', KEYS[1])
if not stock then
  return { string.rep('X', shoppers) }
end
stock = tonumber(stock)

local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local refusal = (meta[7] == 'cancelled' and 'E') or (now < tonumber(meta[2]) and 'N')
  or (now >= tonumber(meta[3]) and 'E') or (meta[7] == 'paused' and 'P')

local codes, reply, written, entries, taken = {}, { '' }, {}, {}, 0
local score = string.format('%.0f', now)
for first = 3, #ARGV, CHUNK do
  local found = call('HMGET', KEYS[2], unpack(ARGV, first, math.min(first + CHUNK - 1, #ARGV)))
  for i = 1, #found do
    local n = first + i - 3
    local user = ARGV[n + 2]
    local holder = written[user] or found[i]
    if holder then
      codes[n] = 'H'
      reply[#reply + 1] = holder
      -- The same attempt again is a resend: nobody new relies on it, so its release must stay possible.
      -- The pending entry keeps its time: a shopper who presses on and on must not hold the relay off.
      if string.byte(holder) == 112 then -- 'p'
        local attempt = sub(holder, 2)
        if attempt ~= sub(ARGV[2], n * 16 - 15, n * 16) then
          written[user] = 'c' .. attempt
        end
      end
    elseif refusal then
      codes[n] = refusal
    elseif stock <= 0 then
      codes[n] = 'S'
    else
      stock = stock - 1
      taken = taken + 1
      written[user] = 'p' .. sub(ARGV[2], n * 16 - 15, n * 16)
      entries[#entries + 1] = score
      entries[#entries + 1] = user
      codes[n] = 'R'
    end
  end
end

local fields = {}
for user, holder in pairs(written) do
  fields[#fields + 1] = user
  fields[#fields + 1] = holder
end
for first = 1, #fields, 2 * CHUNK do
  call('HSET', KEYS[2], unpack(fields, first, math.min(first + 2 * CHUNK - 1, #fields)))
end
if taken > 0 then
  call('DECRBY', KEYS[1], taken)
  for first = 1, #entries, 2 * CHUNK do
    call('ZADD', KEYS[3], unpack(entries, first, math.min(first + 2 * CHUNK - 1, #entries)))
  end
  -- Keys that this batch created have no expiry yet. `pending` has its mark besides (initialize_stock.lua).
  if call('ZCARD', KEYS[3]) <= taken + 1 then
    call('PEXPIREAT', KEYS[2], meta[4])
    call('PEXPIREAT', KEYS[3], meta[4])
  end
end
reply[1] = table.concat(codes)
return reply
