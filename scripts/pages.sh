#!/usr/bin/env bash
# The pages of web/ as their tools see them: types, lints, form, and Lighthouse against a running server. `scripts/pages.sh screenshots`
# makes a picture of every state instead. What the pages do is tested by tests/integration/browser.rs.
# Logs, reports and pictures are in target/pages. Stops at the first check that fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/pages/tools.sh
NODE=$PWD/target/tools/node
OUT=$PWD/target/pages
HERE=tests/pages
export NODE_PATH=$NODE/node_modules
export PATH=$NODE/bin:$NODE_PATH/.bin:$PATH
mkdir -p "$OUT"

# shellcheck disable=SC2034 # read by check
TOPIC=pages
# shellcheck source=scripts/checks.sh
. scripts/checks.sh

serve() {
    local port
    check "cargo build" cargo build --quiet
    port=$(free_port)
    export BASE=http://127.0.0.1:$port
    rm -rf "$OUT/data"
    env -u JWT_SECRET HOST=127.0.0.1 PORT="$port" FLASHSALE_DATA_DIR="$OUT/data" target/debug/flashsale serve --embedded >"$OUT/server.log" 2>&1 &
    started+=($!)
    check "the server is ready" answers "$BASE/health/ready"
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
