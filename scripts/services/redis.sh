# shellcheck shell=bash disable=SC2034,SC2154 # sourced by scripts/services.sh, which sets and reads the shared variables
# Redis: one server; on demand a cluster of three masters (with or without replicas), a primary with a replica, Sentinels, and
# a server and a cluster over TLS.

REDIS_PAIR_PORT=${REDIS_PAIR_PORT:-27121}         # the primary; its replica has the next one
SENTINEL_PORT=${SENTINEL_PORT:-27131}             # and the next two
REPLICAS_CLUSTER_PORT=${REPLICAS_CLUSTER_PORT:-27141} # and the next five
REDIS_TLS_PORT=${REDIS_TLS_PORT:-27151}
CLUSTER_TLS_PORT=${CLUSTER_TLS_PORT:-27161} # and the next two; plain ports 10 higher
SENTINEL_MASTER=flashsale

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
tls_cluster_ports() { seq "$CLUSTER_TLS_PORT" $((CLUSTER_TLS_PORT + 2)); }
replicas_cluster_ports() { seq "$REPLICAS_CLUSTER_PORT" $((REPLICAS_CLUSTER_PORT + 5)); }
cluster_is_whole() { redis-cli -h 127.0.0.1 -p "$1" cluster info | grep -q cluster_state:ok; }

# Name of the cluster, replicas of each master, ports.
start_cluster_on() {
    local name=$1 replicas=$2 port nodes=()
    shift 2
    for port in "$@"; do
        start_redis_on "$name-$port" "$port" --appendonly no --cluster-enabled yes --cluster-node-timeout 2000 \
            --cluster-port $((port + 1000)) # the default, 10000 above, is among the ports of outgoing connections
        nodes+=("127.0.0.1:$port")
    done
    join_cluster "$name" "$replicas" "${nodes[@]}"
}

# Makes a cluster of nodes that run: its name, replicas of each master, addresses.
join_cluster() {
    local name=$1 replicas=$2 first=${3##*:}
    shift 2
    if ! redis-cli -h 127.0.0.1 -p "$first" cluster info | grep -q "cluster_known_nodes:$#"; then
        redis-cli --cluster create "$@" --cluster-replicas "$replicas" --cluster-yes >"$DIR/$name.log" 2>&1 || {
            tail -n 5 "$DIR/$name.log" >&2
            fail "the Redis Cluster could not be made"
        }
    fi
    wait_for "the Redis Cluster" "$DIR/$name.log" cluster_is_whole "$first"
}

# shellcheck disable=SC2046 # ports are words
start_cluster() { start_cluster_on cluster 0 $(cluster_ports); }
# shellcheck disable=SC2046
start_cluster_replicas() { start_cluster_on cluster-replicas 1 $(replicas_cluster_ports); }

# Each node speaks TLS on one port, which is the one that it names to clients over TLS, and plain text on another, for redis-cli.
start_cluster_tls() {
    tls_certificate redis
    local name=cluster-tls port plain nodes=()
    for port in $(tls_cluster_ports); do
        plain=$((port + 10))
        nodes+=("127.0.0.1:$plain")
        start_redis_on "$name-$plain" "$plain" --appendonly no --cluster-enabled yes --cluster-node-timeout 2000 \
            --cluster-port $((plain + 1000)) --tls-port "$port" --tls-cluster yes --tls-replication yes --tls-auth-clients optional \
            --tls-ca-cert-file "$TLS_DIR/ca.crt" --tls-cert-file "$TLS_DIR/redis.crt" --tls-key-file "$TLS_DIR/redis.key"
    done
    join_cluster $name 0 "${nodes[@]}"
}

has_all_data() { redis-cli -h 127.0.0.1 -p "$1" info replication | grep -q -e role:master -e master_link_status:up; }

# After a failover the second one is the primary; then it stays so.
start_redis_replica() {
    local replica=$((REDIS_PAIR_PORT + 1))
    start_redis_on redis-primary "$REDIS_PAIR_PORT" --appendonly yes
    if ! pid_of redis-replica "127.0.0.1:$replica" >/dev/null; then
        start_redis_on redis-replica "$replica" --appendonly yes --repl-diskless-sync-delay 0 --replicaof "127.0.0.1 $REDIS_PAIR_PORT"
    fi
    wait_for "the replica" "$DIR/redis-replica.log" has_all_data "$replica"
}

sentinel_ports() { seq "$SENTINEL_PORT" $((SENTINEL_PORT + 2)); }
sentinel_knows_all() { redis-cli -h 127.0.0.1 -p "$1" sentinel master "$SENTINEL_MASTER" | paste -sd' ' | grep -q 'num-slaves 1 num-other-sentinels 2'; }

start_sentinel() {
    start_redis_replica
    local port file
    for port in $(sentinel_ports); do
        file=$DIR/sentinel-$port.conf
        pid_of "sentinel-$port" "$file" >/dev/null && continue
        claim_port Sentinel "$port"
        # It keeps what it finds out in this file.
        [ -f "$file" ] || cat >"$file" <<END
port $port
bind 127.0.0.1
dir $DIR
sentinel monitor $SENTINEL_MASTER 127.0.0.1 $REDIS_PAIR_PORT 2
sentinel down-after-milliseconds $SENTINEL_MASTER 1000
sentinel failover-timeout $SENTINEL_MASTER 5000
END
        # Redis replaces what ps shows by its address unless told not to.
        (cd / && exec setsid redis-server "$file" --sentinel --set-proc-title no) >>"$DIR/sentinel-$port.log" 2>&1 </dev/null &
        echo $! >"$DIR/sentinel-$port.pid"
    done
    for port in $(sentinel_ports); do
        wait_for "Sentinel on port $port" "$DIR/sentinel-$port.log" sentinel_knows_all "$port"
    done
}

# TLS on REDIS_TLS_PORT, which also asks for a client's certificate if there is one; no plain port.
start_redis_tls() {
    tls_certificate redis
    tls_certificate client
    pid_of redis-tls "$DIR/redis-tls" >/dev/null && return
    claim_port "Redis over TLS" "$REDIS_TLS_PORT"
    mkdir -p "$DIR/redis-tls"
    (cd / && exec setsid redis-server --bind 127.0.0.1 --port 0 --tls-port "$REDIS_TLS_PORT" --dir "$DIR/redis-tls" --daemonize no \
        --maxmemory-policy noeviction --save '' --appendonly yes --databases 1024 --set-proc-title no --tls-auth-clients optional \
        --tls-ca-cert-file "$TLS_DIR/ca.crt" --tls-cert-file "$TLS_DIR/redis.crt" --tls-key-file "$TLS_DIR/redis.key") \
        >>"$DIR/redis-tls.log" 2>&1 </dev/null &
    echo $! >"$DIR/redis-tls.pid"
    wait_for "Redis over TLS" "$DIR/redis-tls.log" redis-cli -h 127.0.0.1 -p "$REDIS_TLS_PORT" --tls --cacert "$TLS_DIR/ca.crt" ping
}

# Servers that run on demand: name, what the command line contains, port. Only those that were started.
redis_servers_on_demand() {
    local port
    for port in $(cluster_ports); do echo "cluster-$port 127.0.0.1:$port $port"; done
    for port in $(replicas_cluster_ports); do echo "cluster-replicas-$port 127.0.0.1:$port $port"; done
    for port in $(sentinel_ports); do echo "sentinel-$port $DIR/sentinel-$port.conf $port"; done
    echo "redis-replica 127.0.0.1:$((REDIS_PAIR_PORT + 1)) $((REDIS_PAIR_PORT + 1))"
    echo "redis-primary 127.0.0.1:$REDIS_PAIR_PORT $REDIS_PAIR_PORT"
    echo "redis-tls $DIR/redis-tls $REDIS_TLS_PORT"
    for port in $(tls_cluster_ports); do echo "cluster-tls-$((port + 10)) 127.0.0.1:$((port + 10)) $port"; done
}
