-- Tells the API nodes that results of a sale changed, on a cluster.
-- KEYS: meta, by which a cluster finds the node. ARGV: the channel, the message.
-- Without the right, or without the command, nothing is told: nodes read results again from time to time.
local asked = redis.pcall('PUBSUB', 'SHARDNUMSUB', ARGV[1])
if asked.err or asked[2] > 0 then
  redis.pcall('SPUBLISH', ARGV[1], ARGV[2])
end
return 1
