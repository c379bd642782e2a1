-- Proves that the server runs scripts and accepts writes. KEYS: a key of its own, which expires after 10 s. Returns 1.
redis.call('SET', KEYS[1], '1', 'PX', 10000)
return 1
