#!/usr/bin/env bash
# Installs what tests and checks the pages of web/: Node.js and its packages by scripts/node/install.sh; from Debian Chromium, and a
# typeface for the screenshots. tests/integration/browser.rs runs it as well.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

DIR=$PWD/target/tools/pages
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

missing=()
python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
command -v chromium >/dev/null || missing+=(chromium)
[ -d /usr/share/fonts/opentype/inter ] || missing+=(fonts-inter)
[ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
scripts/node/install.sh
