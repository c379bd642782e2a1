-- Removes the report of a process that ends. KEYS: nodes. ARGV: id of the process. Returns 1 if there was one.
return redis.call('HDEL', KEYS[1], ARGV[1])
