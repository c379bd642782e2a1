# shellcheck shell=bash disable=SC2034,SC2154 # sourced by scripts/services.sh, which sets and reads the shared variables
# PostgreSQL: where its programs are, its data, its start; on demand a server over TLS, and PgBouncer in transaction mode.

PG_TLS_PORT=${PG_TLS_PORT:-25434}
PGBOUNCER_PORT=${PGBOUNCER_PORT:-25435}

pg_bin() {
    local initdb
    # shellcheck disable=SC2012 # the paths are of packages: no spaces or newlines in them
    for initdb in $(ls -d /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb 2>/dev/null | sort -Vr) "$(command -v initdb || true)"; do
        if [ -x "$initdb" ] && [ -x "$(dirname "$initdb")/postgres" ]; then
            dirname "$initdb"
            return
        fi
    done
}

# PostgreSQL refuses root.
pg_user() {
    if [ "$(id -u)" != 0 ]; then id -un; elif id postgres >/dev/null 2>&1; then echo postgres; else echo nobody; fi
}

as_pg_user() {
    if [ "$(id -u)" = 0 ]; then setpriv --reuid "$(pg_user)" --regid "$(id -g "$(pg_user)")" --clear-groups "$@"; else "$@"; fi
}

# Where the data of a server is, by its name: where PostgreSQL's user can get to. A checkout under /root is not such a place.
pg_dir() {
    local name=${1:-postgres} fallback
    fallback=/var/tmp/flashsale-$name-$(printf %s "$DIR" | cksum | cut -d' ' -f1)
    if [ -d "$fallback" ] || ! as_pg_user test -x "$DIR"; then echo "$fallback"; else echo "$DIR/$name"; fi
}

# Runs a program as PostgreSQL's user in place of this shell; in a session of its own, so that no Ctrl-C reaches it.
exec_as_pg_user() {
    # shellcheck disable=SC2046 # several words, or none
    cd / && exec setsid setpriv $([ "$(id -u)" != 0 ] || echo --reuid "$(pg_user)" --regid "$(id -g "$(pg_user)")" --clear-groups) "$@"
}

# Makes the data of a server that has none yet.
pg_init() {
    local name=$1 data=$2 bin=$3
    rm -rf "$data"
    mkdir -p "$data"
    [ "$(id -u)" != 0 ] || chown "$(pg_user)" "$data"
    chmod 700 "$data"
    printf 'postgres1\n' >"$DIR/password"
    chmod 644 "$DIR/password"
    (cd / && as_pg_user "$bin/initdb" -D "$data/data" -U postgres --pwfile=/dev/stdin -E UTF8 --locale=C.UTF-8 \
        --auth=scram-sha-256 <"$DIR/password") >"$DIR/$name-initdb.log" 2>&1 || {
        tail -n 5 "$DIR/$name-initdb.log" >&2
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
}

# Starts a server: its name, its port, and roles besides postgres1 that it has, as SQL. A function NAME_settings, if there is one,
# adds to the settings of new data in the folder that it is given.
start_postgres_on() {
    local name=$1 port=$2 roles=$3 data bin
    data=$(pg_dir "$name")
    bin=$(pg_bin)
    pid_of "$name" "$data/data" >/dev/null && return
    claim_port PostgreSQL "$port"
    if [ ! -f "$data/initialised" ]; then
        pg_init "$name" "$data" "$bin"
        ! declare -F "${name//-/_}_settings" >/dev/null || "${name//-/_}_settings" "$data/data"
    fi
    rm -f "$data/data/postmaster.pid"
    : >>"$DIR/$name.log"
    (exec_as_pg_user "$bin/postgres" -D "$data/data" -p "$port") >>"$DIR/$name.log" 2>&1 </dev/null &
    echo $! >"$DIR/$name.pid"
    wait_for PostgreSQL "$DIR/$name.log" "$bin/pg_isready" -q -h 127.0.0.1 -p "$port"
    if [ ! -f "$data/initialised" ]; then
        PGPASSWORD=postgres1 "$bin/psql" -q -h 127.0.0.1 -p "$port" -U postgres -d postgres -v ON_ERROR_STOP=1 \
            -c "CREATE ROLE postgres1 LOGIN CREATEDB PASSWORD 'postgres1'; $roles" >>"$DIR/$name-initdb.log" 2>&1 ||
            fail "the role could not be made (log: $DIR/$name-initdb.log)"
        touch "$data/initialised"
    fi
}

start_postgres() { start_postgres_on postgres "$PG_PORT" ''; }

# postgres1 gets in over TLS alone; whoever looks on (tests, as `onlooker`) and the superuser without it.
postgres_tls_settings() {
    local data=$1 name
    for name in crt key; do
        cp "$TLS_DIR/postgres.$name" "$data/server.$name"
        chmod 600 "$data/server.$name"
        [ "$(id -u)" != 0 ] || chown "$(pg_user)" "$data/server.$name"
    done
    cat >>"$data/postgresql.conf" <<END
ssl = on
END
    cat >"$data/pg_hba.conf" <<END
hostssl all postgres1          127.0.0.1/32 scram-sha-256
host    all postgres,onlooker  127.0.0.1/32 scram-sha-256
END
}

start_postgres_tls() {
    tls_certificate postgres
    # The second right is for tests, which look for sessions that wait and end some.
    start_postgres_on postgres-tls "$PG_TLS_PORT" "CREATE ROLE onlooker LOGIN PASSWORD 'postgres1' IN ROLE postgres1;
        GRANT pg_read_all_stats, pg_signal_backend TO postgres1"
}

# Before the server on PG_PORT: sessions are lent for a transaction. Few of them for each database, so that clients do share.
start_pgbouncer() {
    local data program
    data=$(pg_dir pgbouncer)
    program=$(PATH=$PATH:/usr/sbin command -v pgbouncer)
    pid_of pgbouncer "$data/pgbouncer.ini" >/dev/null && return
    claim_port PgBouncer "$PGBOUNCER_PORT"
    mkdir -p "$data"
    printf '"postgres1" "postgres1"\n' >"$data/users.txt"
    cat >"$data/pgbouncer.ini" <<END
[databases]
* = host=127.0.0.1 port=$PG_PORT
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $PGBOUNCER_PORT
unix_socket_dir =
auth_type = scram-sha-256
auth_file = $data/users.txt
pool_mode = transaction
max_client_conn = 1000
default_pool_size = 5
# Tests make a database each: sessions that nobody uses are not kept for long.
server_idle_timeout = 5
log_connections = 0
log_disconnections = 0
END
    [ "$(id -u)" != 0 ] || chown -R "$(pg_user)" "$data"
    (exec_as_pg_user "$program" "$data/pgbouncer.ini") >>"$DIR/pgbouncer.log" 2>&1 </dev/null &
    echo $! >"$DIR/pgbouncer.pid"
    wait_for PgBouncer "$DIR/pgbouncer.log" listens "$PGBOUNCER_PORT"
}

# Servers that run on demand: name, what the command line contains, port.
postgres_servers_on_demand() {
    echo "pgbouncer $(pg_dir pgbouncer)/pgbouncer.ini $PGBOUNCER_PORT"
    echo "postgres-tls $(pg_dir postgres-tls)/data $PG_TLS_PORT"
}
