-- How shoppers stand in a sale and, where one server has all keys, the results that were written for them; read at one
-- moment, so that a settlement in between cannot show an older result. Reads only.
-- KEYS: holders, meta, and perhaps a result for each shopper. ARGV: the ledger's id; user ids, as many as may be on Lua's stack (8,000).
-- Returns { 1 while the sale is known and not in force (of another ledger: it is not known), then for each shopper a state letter or nothing, and the result
-- or nothing }. It is not in force while it is being loaded, and from a restart of the server on: then a holder may have
-- been forgotten.
local call, sub = redis.call, string.sub
local meta = call('HMGET', KEYS[2], 'state', 'run_id', 'ledger')
local foreign = ARGV[1] ~= '' and meta[3] and meta[3] ~= '' and meta[3] ~= ARGV[1]
local holders = foreign and {} or call('HMGET', KEYS[1], unpack(ARGV, 2))
local reply, looked = { 0 }, foreign
for i = 1, #ARGV - 1 do
  local holder = holders[i]
  if holder then
    reply[2 * i], reply[2 * i + 1] = sub(holder, 1, 1), ''
  else
    if not looked then
      looked = true
      local forgot = meta[1]
        and (meta[1] ~= 'open' or meta[2] ~= string.match(call('INFO', 'server'), 'run_id:(%x+)'))
      reply[1] = forgot and 1 or 0
    end
    reply[2 * i], reply[2 * i + 1] = '', KEYS[i + 2] and call('GET', KEYS[i + 2]) or ''
  end
end
return reply
