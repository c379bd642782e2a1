-- How shoppers stand in a sale and, where one server has all keys, the results that were written for them; read at one
-- moment, so that a settlement in between cannot show an older result. Reads only.
-- KEYS: holders, meta, and perhaps a result for each shopper. ARGV: user ids, as many as may be on Lua's stack (8,000).
-- Returns { 1 while the sale is known and not in force, then for each shopper a state letter or nothing, and the result
-- or nothing }. It is not in force while it is being loaded, and from a restart of the server on: then a holder may have
-- been forgotten.
local call, sub = redis.call, string.sub
local holders = call('HMGET', KEYS[1], unpack(ARGV))
local reply, looked = { 0 }, false
for i = 1, #ARGV do
  local holder = holders[i]
  if holder then
    reply[2 * i], reply[2 * i + 1] = sub(holder, 1, 1), ''
  else
    if not looked then
      looked = true
      local meta = call('HMGET', KEYS[2], 'state', 'run_id')
      local forgot = meta[1]
        and (meta[1] ~= 'open' or meta[2] ~= string.match(call('INFO', 'server'), 'run_id:(%x+)'))
      reply[1] = forgot and 1 or 0
    end
    reply[2 * i], reply[2 * i + 1] = '', KEYS[i + 2] and call('GET', KEYS[i + 2]) or ''
  end
end
return reply
