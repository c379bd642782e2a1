-- The state of shoppers' units in a sale and, where one server has all keys, their stored results. All keys are read at one
-- moment, so that a settlement in between cannot make an older result visible. Reads only.
-- KEYS: holders, meta, stock, pending, then either a result for each shopper or nothing. ARGV: the ledger's id, then user ids, as
-- many as fit on Lua's stack (8,000).
-- Returns { unsure, then for each shopper a state letter or '', and a result or '' }. A shopper with a state letter gets no result.
-- `unsure` is 1 if a shopper without a state letter may be a holder that was lost: the sale is being loaded or closed, the server
-- was restarted since the load, or the sale's keys contradict each other because one was lost (close_sale.lua). It is 2 for an
-- unknown sale, of which nothing says who its holders are; a sale of another ledger counts as unknown.
local call, sub = redis.call, string.sub
local meta = call('HMGET', KEYS[2], 'state', 'run_id', 'ledger', 'total', 'withdrawn')
local foreign = ARGV[1] ~= '' and meta[3] and meta[3] ~= '' and meta[3] ~= ARGV[1]
local holders = foreign and {} or call('HMGET', KEYS[1], unpack(ARGV, 2))
local reply, looked = { foreign and 2 or 0 }, foreign
for i = 1, #ARGV - 1 do
  local holder = holders[i]
  if holder then
    reply[2 * i], reply[2 * i + 1] = sub(holder, 1, 1), ''
  else
    if not looked then
      looked = true
      local mark = 'ledger:' .. (meta[3] or ARGV[1])
      local stock = meta[4] and call('GET', KEYS[3])
      local lost = meta[4] and (not stock or stock + call('HLEN', KEYS[1]) + (meta[5] or 0) ~= tonumber(meta[4])
        or not call('ZSCORE', KEYS[4], mark))
      local forgot = not meta[1] and call('ZSCORE', KEYS[4], mark) or meta[1]
        and (lost or meta[1] ~= 'open' or meta[2] ~= string.match(call('INFO', 'server'), 'run_id:(%x+)'))
      reply[1] = forgot and 1 or meta[1] and 0 or 2
    end
    reply[2 * i], reply[2 * i + 1] = '', KEYS[i + 4] and call('GET', KEYS[i + 4]) or ''
  end
end
return reply
