#!/usr/bin/env bash
# Installs what scripts/contract.sh runs, each pinned, into target/tools/contract: Python programs, openapi-generator. Node.js and its
# packages: scripts/node/install.sh.
# From Debian: nginx, Chromium, a Java with a compiler, Maven. Already installed at the pinned version: nothing is done.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

OPENAPI_GENERATOR=7.17.0
DIR=$PWD/target/tools/contract
HERE=scripts/contract
mkdir -p "$DIR"
exec 9>"$DIR/lock"
flock -w 900 9

fail() {
    printf 'contract: %s\n' "$*" >&2
    exit 1
}
say() { printf 'contract: %s\n' "$*"; }
# shellcheck source=scripts/services/packages.sh
. scripts/services/packages.sh

has() { PATH=$PATH:/usr/sbin command -v "$1" >/dev/null; }
java_compiles() { has java && java --list-modules 2>/dev/null | grep -q '^jdk\.compiler'; }
missing=()
python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
has nginx || missing+=(nginx-light)
has chromium || missing+=(chromium)
java_compiles || missing+=(default-jdk-headless)
JAR=$DIR/openapi-generator-cli-$OPENAPI_GENERATOR.jar
[ -f "$JAR" ] || has mvn || missing+=(maven)
[ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"

scripts/node/install.sh
if [ ! -f "$JAR" ]; then
    say "fetching openapi-generator $OPENAPI_GENERATOR"
    mvn -q -B dependency:copy "-Dartifact=org.openapitools:openapi-generator-cli:$OPENAPI_GENERATOR" "-DoutputDirectory=$DIR" \
        >"$DIR/maven.log" 2>&1 || {
        tail -n 5 "$DIR/maven.log" >&2
        fail "openapi-generator could not be fetched with Maven"
    }
fi

# The copy of each list of what is installed is written last, so that an interrupted run starts anew.
if ! cmp -s $HERE/requirements.txt "$DIR/python.installed"; then
    say "installing Schemathesis"
    rm -rf "$DIR"/python "$DIR"/*.installed
    pip_install "$DIR/python" -r $HERE/requirements.txt
    cp $HERE/requirements.txt "$DIR/python.installed"
fi
