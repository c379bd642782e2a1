#!/usr/bin/env bash
# Real servers for development and tests: PostgreSQL, Redis and Apache Kafka, on loopback and on ports of their own.
# They live under target/services and touch no server that is already there.
set -euo pipefail

KAFKA_VERSION=4.3.1 # the log's contract tests pass on it with rskafka 0.6; it needs Java 17
SLF4J_VERSION=1.7.36

usage() {
    cat <<'END'
Usage: scripts/services.sh up [cluster] | down | status | env

  up           start PostgreSQL, Redis and Kafka, installing what is missing
  up cluster   the same, and a Redis Cluster of three masters
  down         stop what was started
  status       say what runs; exit code 1 if PostgreSQL, Redis or Kafka does not
  env          print the exports that point flashsale and its tests at these servers:
               eval "$(scripts/services.sh env)"

Ports: PG_PORT (25433), REDIS_PORT_OWN (26379), KAFKA_PORT (29093, and the next one for its controller),
CLUSTER_PORT (27101, and the next two). Data and logs: FLASHSALE_SERVICES_DIR (target/services).
END
}

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
DIR=${FLASHSALE_SERVICES_DIR:-$ROOT/target/services}
PG_PORT=${PG_PORT:-25433}
REDIS_PORT_OWN=${REDIS_PORT_OWN:-26379}
KAFKA_PORT=${KAFKA_PORT:-29093}
CLUSTER_PORT=${CLUSTER_PORT:-27101}
LIBS=$DIR/kafka-$KAFKA_VERSION/libs
PATIENCE=60 # seconds for a server to answer

say() { printf 'services: %s\n' "$*"; }
fail() {
    printf 'services: %s\n' "$*" >&2
    exit 1
}

# --- what is needed -------------------------------------------------------------------------------------------------

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Installs Debian packages without letting them start servers of their own.
install_packages() {
    command -v apt-get >/dev/null || fail "missing: $*. Install them; there is no apt-get here to do it."
    if [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; then
        fail "missing: $*. Install them: sudo apt-get install $*"
    fi
    say "installing $*"
    local policy=/usr/sbin/policy-rc.d own_policy=
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
        as_root chmod +x $policy
        own_policy=1
    fi
    local log=$DIR/apt.log ok=1
    {
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@" ||
            { as_root apt-get update &&
                as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@"; }
    } >"$log" 2>&1 || ok=
    [ -z "$own_policy" ] || as_root rm -f $policy
    [ -n "$ok" ] || {
        tail -n 5 "$log" >&2
        fail "these packages could not be installed: $*"
    }
}

pg_bin() {
    local initdb
    for initdb in $(ls -d /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb 2>/dev/null | sort -Vr) "$(command -v initdb || true)"; do
        if [ -x "$initdb" ] && [ -x "$(dirname "$initdb")/postgres" ]; then
            dirname "$initdb"
            return
        fi
    done
}

install_missing() {
    local missing=()
    [ -n "$(pg_bin)" ] || missing+=(postgresql postgresql-contrib)
    command -v redis-server >/dev/null && command -v redis-cli >/dev/null || missing+=(redis-server)
    java_works || missing+=(default-jre-headless)
    command -v openssl >/dev/null || missing+=(openssl)
    [ -f "$LIBS/.complete" ] || command -v mvn >/dev/null || missing+=(maven)
    [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
    java_works || fail "Kafka needs Java 17 or newer; found: $(java -version 2>&1 | head -n 1)"
    [ -f "$LIBS/.complete" ] || fetch_kafka
}

java_works() {
    command -v java >/dev/null || return 1
    local version
    version=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
    [ "${version:-0}" -ge 17 ]
}

# Kafka's own jars, with Maven; once.
fetch_kafka() {
    say "fetching Apache Kafka $KAFKA_VERSION"
    local home=$DIR/kafka-$KAFKA_VERSION
    mkdir -p "$home"
    cat >"$home/pom.xml" <<END
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>flashsale</groupId><artifactId>kafka-jars</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$KAFKA_VERSION</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$KAFKA_VERSION</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>$SLF4J_VERSION</version></dependency>
  </dependencies>
</project>
END
    rm -rf "$LIBS"
    if ! (cd "$home" && mvn -q -B dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$LIBS") >"$home/mvn.log" 2>&1; then
        tail -n 5 "$home/mvn.log" >&2
        fail "Kafka's jars could not be fetched with Maven (log: $home/mvn.log)"
    fi
    touch "$LIBS/.complete"
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

# PostgreSQL refuses root.
pg_user() {
    if [ "$(id -u)" != 0 ]; then id -un; elif id postgres >/dev/null 2>&1; then echo postgres; else echo nobody; fi
}

as_pg_user() {
    if [ "$(id -u)" = 0 ]; then setpriv --reuid "$(pg_user)" --regid "$(id -g "$(pg_user)")" --clear-groups "$@"; else "$@"; fi
}

# Where PostgreSQL's user can get to: a checkout under /root, for instance, is not such a place.
pg_dir() {
    local fallback
    fallback=/var/tmp/flashsale-postgres-$(printf %s "$DIR" | cksum | cut -d' ' -f1)
    if [ -d "$fallback" ] || ! as_pg_user test -x "$DIR"; then echo "$fallback"; else echo "$DIR/postgres"; fi
}

start_postgres() {
    local data bin
    data=$(pg_dir)
    bin=$(pg_bin)
    pid_of postgres "$data" >/dev/null && return
    claim_port PostgreSQL "$PG_PORT"
    if [ ! -f "$data/initialised" ]; then
        rm -rf "$data"
        mkdir -p "$data"
        [ "$(id -u)" != 0 ] || chown "$(pg_user)" "$data"
        chmod 700 "$data"
        printf 'postgres1\n' >"$DIR/password"
        chmod 644 "$DIR/password"
        (cd / && as_pg_user "$bin/initdb" -D "$data/data" -U postgres --pwfile=/dev/stdin -E UTF8 --locale=C.UTF-8 \
            --auth=scram-sha-256 <"$DIR/password") >"$DIR/initdb.log" 2>&1 || {
            tail -n 5 "$DIR/initdb.log" >&2
            fail "initdb failed"
        }
        cat >>"$data/data/postgresql.conf" <<END
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 400
shared_buffers = 256MB
max_wal_size = 4GB
checkpoint_timeout = 15min
END
    fi
    rm -f "$data/data/postmaster.pid"
    : >>"$DIR/postgres.log"
    (cd / && exec setsid setpriv $([ "$(id -u)" != 0 ] || echo --reuid "$(pg_user)" --regid "$(id -g "$(pg_user)")" --clear-groups) \
        "$bin/postgres" -D "$data/data" -p "$PG_PORT") >>"$DIR/postgres.log" 2>&1 </dev/null &
    echo $! >"$DIR/postgres.pid"
    wait_for PostgreSQL "$DIR/postgres.log" "$bin/pg_isready" -q -h 127.0.0.1 -p "$PG_PORT"
    if [ ! -f "$data/initialised" ]; then
        PGPASSWORD=postgres1 "$bin/psql" -q -h 127.0.0.1 -p "$PG_PORT" -U postgres -d postgres -v ON_ERROR_STOP=1 \
            -c "CREATE ROLE postgres1 LOGIN CREATEDB PASSWORD 'postgres1'" >>"$DIR/initdb.log" 2>&1 || fail "the role could not be made (log: $DIR/initdb.log)"
        touch "$data/initialised"
    fi
}

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

start_kafka() {
    pid_of kafka "$DIR/kafka/server.properties" >/dev/null && return
    claim_port Kafka "$KAFKA_PORT"
    mkdir -p "$DIR/kafka"
    local properties=$DIR/kafka/server.properties controller=$((KAFKA_PORT + 1))
    cat >"$properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$KAFKA_PORT,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$KAFKA_PORT
controller.listener.names=CONTROLLER
log.dirs=$DIR/kafka/data
num.partitions=3
auto.create.topics.enable=false
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
# After a kill -9 the broker may register again only when its old session has run out (default: 9 s).
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
offsets.topic.num.partitions=1
transaction.state.log.num.partitions=1
log.index.size.max.bytes=1048576
num.network.threads=2
num.io.threads=4
log.cleaner.enable=false
file.delete.delay.ms=1000
END
    local java=(java -XX:+UseSerialGC -XX:TieredStopAtLevel=4 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$LIBS/*")
    if [ ! -f "$DIR/kafka/data/meta.properties" ]; then
        "${java[@]}" -Xmx128m kafka.tools.StorageTool format --cluster-id="$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c 1-22)" -c "$properties" \
            >"$DIR/kafka.log" 2>&1 || {
            tail -n 5 "$DIR/kafka.log" >&2
            fail "Kafka's storage could not be formatted"
        }
    fi
    (cd / && exec setsid "${java[@]}" -Xms256m -Xmx512m kafka.Kafka "$properties") >>"$DIR/kafka.log" 2>&1 </dev/null &
    echo $! >"$DIR/kafka.pid"
    wait_for Kafka "$DIR/kafka.log" listens "$KAFKA_PORT"
}

# --- commands -------------------------------------------------------------------------------------------------------

# name, what its command line contains, port
servers() {
    echo "postgres $(pg_dir) $PG_PORT"
    echo "redis 127.0.0.1:$REDIS_PORT_OWN $REDIS_PORT_OWN"
    echo "kafka $DIR/kafka/server.properties $KAFKA_PORT"
    local port
    for port in $(cluster_ports); do
        [ ! -f "$DIR/cluster-$port.pid" ] || echo "cluster-$port 127.0.0.1:$port $port"
    done
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
    [ "${1:-}" != cluster ] || start_cluster 9>&-
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
            # The cluster is on demand: a node that is down says so, and is no failure.
            [[ $name == cluster-* ]] || down=1
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
export FLASHSALE_KAFKA_LIBS='$LIBS'
END
}

case "${1:-}" in
up) up "${2:-}" ;;
down) down ;;
status) status ;;
env) env_lines ;;
-h | --help | help) usage ;;
*)
    usage >&2
    exit 2
    ;;
esac
