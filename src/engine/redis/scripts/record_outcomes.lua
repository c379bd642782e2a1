-- Records the ledger's decisions about attempts of one sale.
-- KEYS: stock, holders, pending, meta, ended. ARGV: the ledger's id; PUBLISH or SPUBLISH and the channel on which the shoppers
-- whose results changed are announced, as in 12:S 34:? (S: the order stands; ?: read it); then pairs of user id and decision. A
-- decision is a letter (O ordered; A already ordered by another attempt; F failed: sold out, no account, or rejected; R released:
-- the order has ended), the attempt id (16 bytes), for A the id of the attempt that ordered, and for O what is announced behind the S: the
-- trace of the attempt, if it has one.
-- Returns the users whose order, as given here, has ended: a SUCCESS that was written for it must be deleted.
--
-- Why the balance holds. Let R be the ledger's remaining units, and call an order *counted* once its shopper is in state
-- s or l. With the sale open, at every moment
--     stock + pending + withdrawn = R + (orders in the ledger that are not counted).
-- * reserve moves a unit from stock to pending; restore_stock moves it back.
-- * The ledger makes an order: R falls by one, the uncounted orders rise by one.
-- * O for a pending shopper (by this attempt or another): pending falls by one and the order is counted. If another attempt
--   was pending, it is settled as A later, finds state s, and changes nothing.
-- * O for an unknown shopper (the gate was emptied or loaded meanwhile): stock falls by one and the order is counted.
-- * O for a shopper in s or l: the order is counted already, since the ledger holds one order a shopper. Nothing changes.
-- * F or R for a pending attempt: its unit moves from pending to stock.
-- * F for an attempt in s or l of an open sale: the ledger was set back, and has decided anew and otherwise. Its other orders may
--   differ, too: the sale is closed, and is loaded anew. Any other F or R changes nothing.
-- * A of a pending attempt: pending falls by one and the other attempt's order, not counted until now, is.
-- * withdraw moves units from stock to withdrawn. The ledger lowers R by what was withdrawn for a movement: the two sides
--   differ by it until set_terms clears the movement, which takes the difference of the totals off stock and adds the
--   cleared units to it.
-- * The ledger ends an order: R rises by one, and the order leaves. end_orders takes its holder out and stock rises by one,
--   or finds none; until then the two sides differ by the orders that ended and are not applied.
-- * O or A of an order that end_orders took out: the worker that settled it was paused in between. The order takes no unit:
--   an O of an unknown or another attempt changes nothing, everything else counts as R.
-- Every rule asks for a state that it then leaves, so a repetition changes nothing.
--
-- Loading. begin_load drops everything, then the snapshot (R', and the orders in it) is taken, then the sale opens with
-- stock = R' - late, where late counts the shoppers in state l. For an order whose record arrives:
-- * before begin_load: it was in the ledger before the snapshot, so load_holders brings it as s, and R' counts it;
-- * between begin_load and open, and it is in the snapshot: if load_holders came first, it is s and nothing happens; if
--   the record came first, it is l (late + 1) until load_holders makes it s (late - 1); R' counts it either way;
-- * between begin_load and open, and it is not in the snapshot: it stays l, and late takes it off R';
-- * after open, and it is in the snapshot: it is s, nothing happens;
-- * after open, and it is not in the snapshot: its shopper is unknown or pending, the rules for an open sale apply.
-- So right after open, stock + withdrawn = R' - late = R + (orders not counted), and pending = 0. No attempt is pending while a sale
-- is loading, so F, R and A find nothing then.
--
-- A closed sale (after a restart of the server) still has its stock and its pending attempts, which are treated as in an open
-- sale. Its unknown shoppers become l. `late` is not used then: only begin_load ends this state, and it sets `late` to 0.
local call, sub = redis.call, string.sub
local CHUNK = 3000
local FIRST = 4
local meta = call('HMGET', KEYS[4], 'state', 'expires', 'ledger')
local users = {}
for i = FIRST, #ARGV, 2 do
  users[#users + 1] = ARGV[i]
end
-- Most sales have no listener: then this question is all that it costs. If it is not answered, outcomes are announced.
local asked = redis.pcall('PUBSUB', ARGV[2] == 'SPUBLISH' and 'SHARDNUMSUB' or 'NUMSUB', ARGV[3])
local is_heard = asked.err or asked[2] > 0
-- An error changes nothing here: nodes read results again from time to time.
local function announce(news)
  if #news > 0 then
    redis.pcall(ARGV[2], ARGV[3], table.concat(news, ' '))
  end
end
-- A sale that the gate does not have names no ledger, so that there is none to compare with. Its results alone were written, by
-- the caller; whoever reads them compares their ledger.
if not meta[1] then
  if is_heard then
    announce({ table.concat(users, ':? ') .. ':?' })
  end
  return {}
end
if (ARGV[1] ~= '' and meta[3] and meta[3] ~= '' and meta[3] ~= ARGV[1]) then
  return {}
end
-- Saves the lookups below in most sales, which have no ended orders.
local any_ended = call('EXISTS', KEYS[5]) == 1
local stocked = call('EXISTS', KEYS[1]) == 1
local open = stocked and meta[1] == 'open'

local holders = {}
for first = 1, #users, CHUNK do
  local last = math.min(first + CHUNK - 1, #users)
  local found = call('HMGET', KEYS[2], unpack(users, first, last))
  for i = 1, #found do
    holders[users[first + i - 1]] = found[i]
  end
end

local changed, settled, traces = {}, {}, {}
local units, returns, late, added, contradicted, ended = 0, 0, 0, false, false, {}
for n = 1, #users do
  local user = users[n]
  local decision = ARGV[FIRST + 2 * n - 1]
  local kind, attempt = sub(decision, 1, 1), sub(decision, 2, 17)
  local holder = holders[user]
  local state = holder and sub(holder, 1, 1)
  local pending = state == 'p' or state == 'c'
  if any_ended and (kind == 'O' or kind == 'A')
    and call('SISMEMBER', KEYS[5], kind == 'O' and attempt or sub(decision, 18, 33)) == 1 then
    kind = 'R'
    ended[#ended + 1] = user
  end
  if kind == 'O' then
    if is_heard then
      traces[user] = sub(decision, 18)
    end
    if pending then
      holders[user] = 's' .. attempt
      changed[user], settled[user] = true, true
    elseif not holder then
      added = true
      changed[user] = true
      if open then
        holders[user] = 's' .. attempt
        units = units - 1
        returns = returns + 1 -- the set of holders has grown: API nodes that cache it must read it again
      else
        holders[user] = 'l' .. attempt
        late = late + 1
      end
    end
  elseif pending and sub(holder, 2) == attempt then
    changed[user], settled[user] = true, true
    if kind ~= 'A' then
      holders[user] = false
      units = units + 1
      returns = returns + 1
    else
      holders[user] = 's' .. sub(decision, 18, 33)
    end
  elseif kind == 'F' and open and holder and sub(holder, 2) == attempt then
    contradicted = true
  end
end

local fields, gone, entries = {}, {}, {}
for user in pairs(changed) do
  if holders[user] then
    fields[#fields + 1] = user
    fields[#fields + 1] = holders[user]
  else
    gone[#gone + 1] = user
  end
end
for user in pairs(settled) do
  entries[#entries + 1] = user
end
for first = 1, #fields, 2 * CHUNK do
  call('HSET', KEYS[2], unpack(fields, first, math.min(first + 2 * CHUNK - 1, #fields)))
end
for first = 1, #gone, CHUNK do
  call('HDEL', KEYS[2], unpack(gone, first, math.min(first + CHUNK - 1, #gone)))
end
for first = 1, #entries, CHUNK do
  call('ZREM', KEYS[3], unpack(entries, first, math.min(first + CHUNK - 1, #entries)))
end
if units ~= 0 and stocked then
  call('INCRBY', KEYS[1], units)
end
if returns > 0 then
  call('HINCRBY', KEYS[4], 'returns', returns)
end
if late > 0 then
  call('HINCRBY', KEYS[4], 'late', late)
end
if contradicted then
  call('HSET', KEYS[4], 'state', 'closed', 'unlisted', '0')
end
if is_heard then
  local news = {}
  for n = 1, #users do
    local user = users[n]
    if changed[user] or not holders[user] then
      news[#news + 1] = user .. (holders[user] and ':S' .. (traces[user] or '') or ':?')
    end
  end
  announce(news)
end
if added then -- HSET may have created the key, without an expiry
  if meta[2] then
    call('PEXPIREAT', KEYS[2], meta[2])
  else
    call('PEXPIRE', KEYS[2], math.max(call('PTTL', KEYS[4]), 1))
  end
end
return ended
