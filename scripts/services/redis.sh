# shellcheck shell=bash disable=SC2034,SC2154 # sourced by scripts/services.sh, which sets and reads the shared variables
# Redis: one server, and a cluster of three masters.

start_redis_on() {
    local name=$1 port=$2
    shift 2
    pid_of "$name" "127.0.0.1:$port" >/dev/null && return
    claim_port Redis "$port"
    mkdir -p "$DIR/$name"
    (cd / && exec setsid redis-server --bind 127.0.0.1 --port "$port" --dir "$DIR/$name" --daemonize no \
        --maxmemory-policy noeviction --save '' "$@") >>"$DIR/$name.log" 2>&1 </dev/null &
    echo $! >"$DIR/$name.pid"
    wait_for "Redis on port $port" "$DIR/$name.log" redis-cli -h 127.0.0.1 -p "$port" ping
}

start_redis() { start_redis_on redis "$REDIS_PORT_OWN" --databases 1024 --appendonly yes; }

cluster_ports() { seq "$CLUSTER_PORT" $((CLUSTER_PORT + 2)); }
cluster_is_whole() { redis-cli -h 127.0.0.1 -p "$CLUSTER_PORT" cluster info | grep -q cluster_state:ok; }

start_cluster() {
    local port nodes=()
    for port in $(cluster_ports); do
        start_redis_on "cluster-$port" "$port" --appendonly no --cluster-enabled yes --cluster-node-timeout 2000 \
            --cluster-port $((port + 1000)) # the default, 10000 above, is among the ports of outgoing connections
        nodes+=("127.0.0.1:$port")
    done
    if ! redis-cli -h 127.0.0.1 -p "$CLUSTER_PORT" cluster info | grep -q cluster_known_nodes:3; then
        redis-cli --cluster create "${nodes[@]}" --cluster-yes >"$DIR/cluster.log" 2>&1 || {
            tail -n 5 "$DIR/cluster.log" >&2
            fail "the Redis Cluster could not be made"
        }
    fi
    wait_for "the Redis Cluster" "$DIR/cluster.log" cluster_is_whole
}
