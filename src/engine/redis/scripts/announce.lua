-- Tells the API nodes that results of a sale changed.
-- KEYS: meta, by which a cluster finds the node. ARGV: PUBLISH or SPUBLISH, the channel, the message.
-- Without the right, or without the command, nothing is told: nodes read results again from time to time.
redis.pcall(ARGV[1], ARGV[2], ARGV[3])
return 1
