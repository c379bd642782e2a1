#!/usr/bin/env bash
# The whole system on this machine: real servers, migrate, seed, one API, one worker. One Ctrl-C stops it all.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

services=scripts/services.sh
started_servers=
$services status >/dev/null 2>&1 || started_servers=1

pids=()
# shellcheck disable=SC2329 # called by the trap
stop() {
    trap '' INT TERM
    [ ${#pids[@]} = 0 ] || kill -TERM "${pids[@]}" 2>/dev/null || true
    [ ${#pids[@]} = 0 ] || wait "${pids[@]}" 2>/dev/null || true
    if [ -n "$started_servers" ]; then
        $services down
    else
        echo "The servers were up before and stay up: $services down stops them."
    fi
}
trap stop EXIT
trap 'exit 0' INT TERM

$services up
cargo build --release
eval "$($services env)"
export PORT=${PORT:-3000}
flashsale=${CARGO_TARGET_DIR:-target}/release/flashsale
$flashsale migrate
$flashsale seed

# setsid: Ctrl-C reaches this script only, which stops everything in order.
setsid "$flashsale" work &
pids+=($!)
setsid "$flashsale" serve &
pids+=($!)

# Ready, or one of the two is gone.
alive() {
    local pid
    for pid in "${pids[@]}"; do kill -0 "$pid" 2>/dev/null || return 1; done
}
is_ready() { curl -fsS -o /dev/null "http://127.0.0.1:$PORT/health/ready" 2>/dev/null; }
deadline=$((SECONDS + 60))
until alive && is_ready; do
    if ! alive || [ $SECONDS -ge $deadline ]; then
        echo "flashsale: the system did not come up; see above" >&2
        exit 1
    fi
    sleep 0.1
done
cat <<END

  The sale is on.
  API            http://localhost:$PORT
  Documentation  http://localhost:$PORT/api-docs
  Logins         admin / admin123, user1 / password123, user2, user3
  Ctrl-C stops everything.

END
# Neither may die: what is left is stopped, and the exit code says so.
wait -n "${pids[@]}" && code=0 || code=$?
echo "flashsale: a process ended by itself (exit code $code)" >&2
exit 1
