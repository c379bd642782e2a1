#!/usr/bin/env bash
# Real servers for development and tests: PostgreSQL, Redis and Apache Kafka, on loopback and on ports of their own.
# They live under target/services and touch no server that is already there.
set -euo pipefail

KAFKA_VERSION=4.3.1 # the log's contract tests pass on it with rskafka 0.6; it needs Java 17
# shellcheck disable=SC2034 # read by scripts/services/kafka.sh
SLF4J_VERSION=1.7.36

usage() {
    cat <<'END'
Usage: scripts/services.sh up [MODE...] | down | status | env [MODE...]

  up           start PostgreSQL, Redis and Kafka, installing what is missing
  up MODE...   the same, and more servers:
                 cluster           a Redis Cluster of three masters
                 cluster-replicas  one of three masters with a replica each
                 redis-replica     a Redis primary with a replica
                 sentinel          the same, watched by three Sentinels, which call the primary "flashsale"
                 kafka3            three Kafka brokers: replication factor 3, min.insync.replicas 2
                 tls               PostgreSQL, Redis, a Redis Cluster and a Kafka broker that speak TLS, with a certificate
                                   authority of their own
                 pgbouncer         PgBouncer in transaction mode before PostgreSQL
                 proxies           HAProxy and nginx, with config/haproxy.cfg and config/nginx.conf, before two nodes that you
                                   start (`PORT=3001 flashsale serve`, `PORT=3002 flashsale serve`)
  down         stop what was started
  status       say what runs; exit code 1 if PostgreSQL, Redis or Kafka does not
  env          print the exports that point flashsale and its tests at these servers:
               eval "$(scripts/services.sh env)"
  env MODE...  the same, with the servers as these modes start them

Ports: PG_PORT (25433), REDIS_PORT_OWN (26379), KAFKA_PORT (29093, and the next one for its controller),
CLUSTER_PORT (27101, and the next two), REDIS_PAIR_PORT (27121, and the next), SENTINEL_PORT (27131, and the next two),
REPLICAS_CLUSTER_PORT (27141, and the next five), REDIS_TLS_PORT (27151), CLUSTER_TLS_PORT (27161, and the next two; plain
ports 10 higher), KAFKA3_PORT (29103, and the next five), KAFKA_TLS_PORT (29111, plain; the next ones with a certificate and
with a login), PG_TLS_PORT (25434), PGBOUNCER_PORT (25435), HAPROXY_PORT (28080), NGINX_PORT (28081), NODE_PORTS (3001 3002). Data
and logs: FLASHSALE_SERVICES_DIR (target/services).
END
}

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
DIR=${FLASHSALE_SERVICES_DIR:-$ROOT/target/services}
PG_PORT=${PG_PORT:-25433}
REDIS_PORT_OWN=${REDIS_PORT_OWN:-26379}
KAFKA_PORT=${KAFKA_PORT:-29093}
CLUSTER_PORT=${CLUSTER_PORT:-27101}
KAFKA3_PORT=${KAFKA3_PORT:-29103}
KAFKA_TLS_PORT=${KAFKA_TLS_PORT:-29111}
LIBS=$DIR/kafka-$KAFKA_VERSION/libs
PATIENCE=60 # seconds for a server to answer

say() { printf 'services: %s\n' "$*"; }
fail() {
    printf 'services: %s\n' "$*" >&2
    exit 1
}

# One file a server; each says what it needs, how it is started and which modes it has.
for part in packages tls postgres redis kafka proxies; do
    # shellcheck source=/dev/null
    . "$ROOT/scripts/services/$part.sh"
done

# --- what is needed -------------------------------------------------------------------------------------------------

install_missing() {
    local missing=()
    [ -n "$(pg_bin)" ] || missing+=(postgresql postgresql-contrib)
    command -v redis-server >/dev/null && command -v redis-cli >/dev/null || missing+=(redis-server)
    # The tests start a pooler of their own before a server of their own, too.
    command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ] || missing+=(pgbouncer)
    java_works || missing+=(default-jre-headless)
    command -v openssl >/dev/null || missing+=(openssl)
    proxies_missing
    command -v faketime >/dev/null || missing+=(faketime)
    [ -f "$LIBS/.complete" ] || command -v mvn >/dev/null || missing+=(maven)
    [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
    java_works || fail "Kafka needs Java 17 or newer; found: $(java -version 2>&1 | head -n 1)"
    [ -f "$LIBS/.complete" ] || fetch_kafka
}

# --- processes ------------------------------------------------------------------------------------------------------

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# The pid of a server of ours, if it runs: the pid file's process must have our directory on its command line.
pid_of() {
    local pid
    pid=$(head -n 1 "$DIR/$1.pid" 2>/dev/null) || return 1
    [ -n "$pid" ] && grep -qzF -- "$2" "/proc/$pid/cmdline" 2>/dev/null && echo "$pid"
}

# Fails when somebody else has the port.
claim_port() {
    ! listens "$2" || fail "$1 cannot start: something else listens on port $2 (see scripts/services.sh --help to choose another)"
}

wait_for() {
    local what=$1 log=$2 deadline=$((SECONDS + PATIENCE))
    shift 2
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $deadline ]; then
            tail -n 15 "$log" >&2 || true
            fail "$what does not answer after $PATIENCE s (log: $log)"
        fi
        sleep 0.1
    done
}

# --- commands -------------------------------------------------------------------------------------------------------

# name, what its command line contains, port
servers() {
    echo "postgres $(pg_dir)/data $PG_PORT"
    echo "redis 127.0.0.1:$REDIS_PORT_OWN $REDIS_PORT_OWN"
    echo "kafka $DIR/kafka/server.properties $KAFKA_PORT"
    local name rest id
    while read -r name rest; do
        [ ! -f "$DIR/$name.pid" ] || echo "$name $rest"
    done < <(
        # Those before others first, as they are stopped in this order.
        proxies_on_demand
        redis_servers_on_demand
        postgres_servers_on_demand
    )
    for id in 1 2 3; do
        [ ! -f "$DIR/kafka3-$id.pid" ] || echo "kafka3-$id $DIR/kafka3-$id/server.properties $((KAFKA3_PORT + id - 1))"
    done
    [ ! -f "$DIR/kafka-tls.pid" ] || echo "kafka-tls $DIR/kafka-tls/server.properties $KAFKA_TLS_PORT"
}

# One of the modes of `up`; a server adds what it has of it.
start_mode() {
    case $1 in
    cluster) start_cluster ;;
    cluster-replicas) start_cluster_replicas ;;
    redis-replica) start_redis_replica ;;
    sentinel) start_sentinel ;;
    kafka3) start_kafka3 ;;
    tls)
        start_postgres_tls
        start_redis_tls
        start_cluster_tls
        start_kafka_tls
        ;;
    pgbouncer) start_pgbouncer ;;
    proxies)
        start_haproxy
        start_nginx
        ;;
    *) fail "unknown mode: $1 (see scripts/services.sh --help)" ;;
    esac
}

up() {
    mkdir -p "$DIR"
    exec 9>"$DIR/lock"
    flock -w 300 9 || fail "another run is starting servers for more than 5 minutes"
    install_missing
    # The lock is not for the servers to keep.
    start_postgres 9>&- &
    local postgres=$!
    start_kafka 9>&- &
    local kafka=$!
    start_redis 9>&-
    local mode
    for mode in "$@"; do
        start_mode "$mode" 9>&-
    done
    wait $postgres || exit 1
    wait $kafka || exit 1
    status
}

status() {
    local name mark port pid down=''
    while read -r name mark port; do
        if pid=$(pid_of "$name" "$mark") && listens "$port"; then
            say "$name answers on 127.0.0.1:$port (pid $pid)"
        else
            say "$name does not run"
            # Servers on demand: one that is down says so, and is no failure.
            [[ $name == postgres || $name == redis || $name == kafka ]] || continue
            down=1
        fi
    done < <(servers)
    [ -z "$down" ]
}

down() {
    local name mark port pid deadline
    while read -r name mark port; do
        if pid=$(pid_of "$name" "$mark"); then
            # SIGINT is PostgreSQL's fast shutdown; the others take it as a request to end.
            kill -INT "$pid" 2>/dev/null || true
            deadline=$((SECONDS + 15))
            while kill -0 "$pid" 2>/dev/null; do
                [ $SECONDS -lt $deadline ] || kill -9 "$pid" 2>/dev/null || true
                sleep 0.1
            done
            say "$name is stopped"
        fi
        rm -f "$DIR/$name.pid"
    done < <(servers)
}

env_lines() {
    cat <<END
export POSTGRES_HOST=127.0.0.1 POSTGRES_PORT=$PG_PORT POSTGRES_USER=postgres1 POSTGRES_PASSWORD=postgres1 POSTGRES_DB=flash_sale
export REDIS_HOST=127.0.0.1 REDIS_PORT=$REDIS_PORT_OWN
export KAFKA_BROKERS=127.0.0.1:$KAFKA_PORT
export FLASHSALE_TEST_REDIS_CLUSTER=127.0.0.1:$CLUSTER_PORT
export FLASHSALE_TLS_DIR='$TLS_DIR'
export FLASHSALE_KAFKA_LIBS='$LIBS'
END
    local mode
    for mode in "$@"; do
        env_of_mode "$mode"
    done
}

# What a mode changes of that.
env_of_mode() {
    local ca="'$TLS_DIR/ca.crt'" certificate="'$TLS_DIR/client.crt'" key="'$TLS_DIR/client.key'"
    case $1 in
    cluster) echo "export REDIS_PORT=$CLUSTER_PORT REDIS_CLUSTER_MODE=true" ;;
    cluster-replicas) echo "export REDIS_PORT=$REPLICAS_CLUSTER_PORT REDIS_CLUSTER_MODE=true" ;;
    redis-replica) echo "export REDIS_PORT=$REDIS_PAIR_PORT" ;;
    sentinel)
        echo "export REDIS_SENTINELS=$(sentinel_ports | sed 's/^/127.0.0.1:/' | paste -sd,) REDIS_SENTINEL_MASTER=$SENTINEL_MASTER"
        ;;
    kafka3)
        echo "export KAFKA_BROKERS=$(kafka3_ports | sed 's/^/127.0.0.1:/' | paste -sd,) KAFKA_REPLICATION_FACTOR=3"
        ;;
    tls)
        echo "export POSTGRES_PORT=$PG_TLS_PORT POSTGRES_TLS=verify-full POSTGRES_CA_FILE=$ca"
        echo "export REDIS_PORT=$REDIS_TLS_PORT REDIS_TLS=verify-full REDIS_CA_FILE=$ca REDIS_CERT_FILE=$certificate REDIS_KEY_FILE=$key"
        echo "export KAFKA_BROKERS=127.0.0.1:$((KAFKA_TLS_PORT + 1)) KAFKA_TLS=verify-full KAFKA_CA_FILE=$ca"
        echo "export KAFKA_CERT_FILE=$certificate KAFKA_KEY_FILE=$key"
        # For what tests look at past the program.
        echo "export FLASHSALE_TEST_KAFKA_PLAIN=127.0.0.1:$KAFKA_TLS_PORT FLASHSALE_TEST_POSTGRES_USER=onlooker"
        echo "export FLASHSALE_TEST_REDIS_CLUSTER=127.0.0.1:$((CLUSTER_TLS_PORT + 10)) FLASHSALE_TEST_REDIS_CLUSTER_TLS=127.0.0.1:$CLUSTER_TLS_PORT"
        ;;
    pgbouncer)
        echo "export POSTGRES_PORT=$PGBOUNCER_PORT POSTGRES_POOLER=transaction FLASHSALE_TEST_POSTGRES_PORT=$PG_PORT"
        ;;
    proxies)
        echo "export TRUSTED_PROXIES=127.0.0.1 HAPROXY_URL=http://127.0.0.1:$HAPROXY_PORT NGINX_URL=http://127.0.0.1:$NGINX_PORT"
        ;;
    *) fail "unknown mode: $1 (see scripts/services.sh --help)" ;;
    esac
}

case "${1:-}" in
up) up "${@:2}" ;;
down) down ;;
status) status ;;
env) env_lines "${@:2}" ;;
-h | --help | help) usage ;;
*)
    usage >&2
    exit 2
    ;;
esac
