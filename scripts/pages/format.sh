#!/usr/bin/env bash
# Writes scripts, style sheets and tests of the pages, and the TypeScript client, in their form.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
scripts/pages/tools.sh
PATH=$PWD/target/tools/node/bin:$PATH
target/tools/node/node_modules/.bin/biome format --write --config-path=scripts/pages/biome.json web tests/pages clients/typescript
