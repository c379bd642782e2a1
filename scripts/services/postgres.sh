# shellcheck shell=bash disable=SC2034,SC2154 # sourced by scripts/services.sh, which sets and reads the shared variables
# PostgreSQL: where its programs are, its data, its start.

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
    # shellcheck disable=SC2046 # several words, or none
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
