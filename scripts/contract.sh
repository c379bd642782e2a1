#!/usr/bin/env bash
# The contract as clients see it: docs/openapi.json against linters and generators of clients, the TypeScript client, then a
# running server against generated clients, Schemathesis, a Java client and nginx with their offers to upgrade, and a browser.
# Stops at the first check that fails. Everything is on loopback; logs and screenshots are in target/contract.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

SEED=20240101
EXAMPLES=100
PRESSES=${PRESSES:-10000}
HERE=scripts/contract
DOCUMENT=docs/openapi.json

scripts/contract/tools.sh
TOOLS=$PWD/target/tools/contract
OUT=$PWD/target/contract
NODE=$PWD/target/tools/node
export NODE_PATH=$NODE/node_modules PYTHONPATH=$TOOLS/python
export PATH=$NODE/bin:$NODE_PATH/.bin:$PATH:/usr/sbin
export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true PYTHONDONTWRITEBYTECODE=1
rm -rf "$OUT" && mkdir -p "$OUT"

TOPIC=contract
# What a client has to say for itself.
# shellcheck disable=SC2034 # read by check
TELL='^(Python|TypeScript|Java|not compared|not checked):'
# shellcheck source=scripts/checks.sh
. scripts/checks.sh

# --- the document ---------------------------------------------------------------------------------------------------

typescript() {
    mkdir -p "$OUT/typescript"
    openapi-typescript $DOCUMENT --output "$OUT/typescript/schema.d.ts"
    cp $HERE/buy.ts $HERE/tsconfig.json "$OUT/typescript/"
    ln -sfn "$NODE_PATH" "$OUT/typescript/node_modules"
    tsc --project "$OUT/typescript"
}

python_client() {
    java -jar "$TOOLS"/openapi-generator-cli-*.jar generate --generator-name python --input-spec $DOCUMENT --output "$OUT/python" \
        --package-name flashsale_client
}

check "cargo build" cargo build --quiet
check "$DOCUMENT is the code's" diff <(target/debug/flashsale openapi) $DOCUMENT
check "changes of the contract" scripts/contract/api_changes.sh
check "Spectral" spectral lint --ruleset $HERE/spectral.yaml --fail-severity warn $DOCUMENT
check "Redocly" redocly lint --extends recommended $DOCUMENT
check "TypeScript, strict" typescript
check "Python, generated" python_client
scripts/contract/client.sh

# --- as Kubernetes runs it ------------------------------------------------------------------------------------------

check "a pod of the development overlay" scripts/manifests/run.sh pod.py target/debug/flashsale

# --- a running server -----------------------------------------------------------------------------------------------

port=$(free_port)
base=http://127.0.0.1:$port
# Limits are for strangers; the defaults of everything else.
env -u JWT_SECRET HOST=127.0.0.1 PORT="$port" FLASHSALE_DATA_DIR="$OUT/data" FLASH_SALE_TOTAL_STOCK=1000000 PASSWORD_MEMORY_KIB=64 PASSWORD_PASSES=1 \
    LIMIT_REGISTRATIONS_PER_ADDRESS=0 LIMIT_REGISTRATIONS_PER_ACCOUNT=0 LIMIT_LOGINS_PER_ADDRESS=0 LIMIT_FAILED_LOGINS_PER_ACCOUNT=0 \
    LIMIT_ATTEMPTS_PER_USER=0 LIMIT_ATTEMPTS_PER_ADDRESS=0 target/debug/flashsale serve --embedded >"$OUT/server.log" 2>&1 &
started+=($!)
check "the server is ready" answers "$base/health/ready"
proxy_port=$(free_port)
sed "s/PORT/$proxy_port/; s/BACKEND/127.0.0.1:$port/" $HERE/nginx.conf >"$OUT/nginx.conf"
nginx -p "$OUT" -c "$OUT/nginx.conf" -g "pid $OUT/nginx.pid;" -e stderr >"$OUT/nginx.log" 2>&1 &
started+=($!)
proxy=http://127.0.0.1:$proxy_port
check "nginx is ready" answers "$proxy/health"

# An operator may press, too.
login() {
    curl --silent --fail "$base/api/auth/login" -H 'Content-Type: application/json' -d '{"username":"admin","password":"admin123"}' |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["data"]["token"])'
}
schemathesis_() {
    local token
    token=$(login)
    # It leaves a folder where it runs.
    (root=$PWD && cd "$OUT" && python3 "$TOOLS/python/bin/schemathesis" --config-file "$root/$HERE/schemathesis.toml" run "$root/$DOCUMENT" \
        --url "$base" --header "Authorization: Bearer $token" --seed $SEED --max-examples $EXAMPLES --generation-database none --no-color)
}

check "Python buys" env PYTHONPATH="$OUT/python:$PYTHONPATH" python3 $HERE/buy.py "$base"
check "TypeScript buys" node "$OUT/typescript/buy.js" "$base"
check "$PRESSES presses of Java" java $HERE/Press.java "$base" "$PRESSES"
check "$PRESSES presses of Java through nginx" java $HERE/Press.java "$proxy" "$PRESSES"
mkdir "$OUT/screenshots"
check "the page" node $HERE/page.mjs "$base" "$(command -v chromium)" "$OUT/screenshots"
check "the page under a prefix that nginx strips" node $HERE/page.mjs "$proxy/shop" "$(command -v chromium)" "$OUT/screenshots"
check "Schemathesis" schemathesis_

# --- events ---------------------------------------------------------------------------------------------------------

events_port=$(free_port)
env -u JWT_SECRET HOST=127.0.0.1 PORT="$events_port" FLASHSALE_DATA_DIR="$OUT/events" PASSWORD_MEMORY_KIB=64 PASSWORD_PASSES=1 \
    EVENTS_ENABLED=true EVENTS_WEBHOOKS_TO_PRIVATE_NETWORKS=true target/debug/flashsale serve --embedded >"$OUT/events.log" 2>&1 &
started+=($!)
check "the server with events is ready" answers "http://127.0.0.1:$events_port/health/ready"
check "webhooks, signatures and schemas in Python" python3 $HERE/webhooks.py "http://127.0.0.1:$events_port" docs/events "$OUT/webhooks.json"
check "webhooks, signatures in Node.js" node $HERE/webhooks.mjs "$OUT/webhooks.json"
