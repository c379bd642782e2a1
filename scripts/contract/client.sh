#!/usr/bin/env bash
# The TypeScript client of clients/typescript: its generated types are those of docs/openapi.json, it compiles and has no lint, it buys
# from a running server in the oldest Node.js that it promises, in the present one and in Chromium, and the example of its README runs.
# `scripts/contract/client.sh types` writes the generated types instead. Logs are in target/client.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

HERE=clients/typescript
TYPES=$HERE/src/generated/schema.ts
NODE=$PWD/target/tools/node
OUT=$PWD/target/client
scripts/node/install.sh
export NODE_PATH=$NODE/node_modules
export PATH=$NODE/bin:$NODE_PATH/.bin:$PATH

if [ "${1:-}" = types ]; then
    openapi-typescript docs/openapi.json --output $TYPES
    exit
fi

rm -rf "$OUT" && mkdir -p "$OUT"
# shellcheck disable=SC2034 # read by check
TOPIC=client
# shellcheck source=scripts/checks.sh
. scripts/checks.sh

types_are_current() {
    openapi-typescript docs/openapi.json --output "$OUT/schema.ts"
    diff "$OUT/schema.ts" $TYPES || { echo "$TYPES is not that of docs/openapi.json: make client-types" && return 1; }
}

# A copy, beside the packages: programs of npm look for them in folders above.
package() {
    cp -r $HERE "$OUT/package"
    ln -s "$NODE_PATH" "$OUT/package/node_modules"
    tsc --project "$OUT/package"
}

lint() { (cd "$OUT/package" && eslint --max-warnings 0 src); }

# The example as a program of somebody who installed the package, on a server of the demo sale.
example() {
    local example=$OUT/example
    mkdir -p "$example/node_modules"
    ln -s "$OUT/package" "$example/node_modules/flashsale-client"
    awk '/^```ts$/ { code = 1; next } /^```$/ { code = 0 } code' $HERE/README.md >"$example/example.ts"
    grep -q 'https://sale.shop.example' "$example/example.ts" || return 1
    sed -i "s|https://sale.shop.example|$1|" "$example/example.ts"
    echo '{ "type": "module" }' >"$example/package.json"
    tsc --strict --target es2022 --module nodenext --lib es2022,dom --outDir "$example" "$example/example.ts" || return 1
    node "$example/example.js" | tee "$example/told"
    grep -q '^bought: ' "$example/told"
}

# At once: most of their time is waiting.
in_both() {
    local oldest present=0
    "$NODE/oldest/node" --test $HERE/test/client.test.mjs &
    oldest=$!
    node --test $HERE/test/client.test.mjs || present=$?
    wait $oldest && [ $present = 0 ]
}

check "types are those of docs/openapi.json" types_are_current
check "TypeScript, strict" package
check "lints" lint
check "form (to write it: scripts/pages/format.sh)" biome format --config-path=scripts/pages/biome.json --error-on-warnings $HERE
check "cargo build" cargo build --quiet --bin flashsale
export FLASHSALE=$PWD/target/debug/flashsale CLIENT=$OUT/package/dist/index.js OUT

port=$(free_port)
env -u JWT_SECRET HOST=127.0.0.1 PORT="$port" FLASHSALE_DATA_DIR="$OUT/data" "$FLASHSALE" serve --embedded >"$OUT/server.log" 2>&1 &
started+=($!)
check "the server is ready" answers "http://127.0.0.1:$port/health/ready"
check "the example of the README" example "http://127.0.0.1:$port"
check "Node.js, the oldest and the present one" in_both
check "Chromium" node --test $HERE/test/browser.test.mjs
