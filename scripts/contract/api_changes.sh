#!/usr/bin/env bash
# Compares docs/openapi.json with an earlier one and fails if a change breaks clients. The earlier one is that of BASE: by default
# the last release (tag v*), before the first release the commit that added the document. Needs Go, which builds oasdiff.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

OASDIFF=v1.37.0
DOCUMENT=docs/openapi.json
DIR=$PWD/target/tools/go

first() { git log --format=%H --diff-filter=A -- $DOCUMENT | tail -n 1; }
base=${1:-$(git describe --tags --match 'v*' --abbrev=0 2>/dev/null || first)}
if [ -z "$base" ] || [ "$(git rev-parse --is-shallow-repository)" = true ]; then
    echo "not compared: this clone has no earlier $DOCUMENT"
    exit 0
fi
if ! command -v go >/dev/null; then
    echo "not compared: Go is not installed"
    exit 0
fi
if [ ! -x "$DIR/oasdiff-$OASDIFF" ]; then
    GOBIN=$DIR GOFLAGS=-modcacherw go install "github.com/oasdiff/oasdiff@$OASDIFF"
    mv "$DIR/oasdiff" "$DIR/oasdiff-$OASDIFF"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git show "$base:$DOCUMENT" >"$work/before.json"
# The contract says that error codes may be added (the description of `code`).
echo 'response-property-enum-value-added info' >"$work/levels"
"$DIR/oasdiff-$OASDIFF" breaking --severity-levels "$work/levels" --fail-on WARN "$work/before.json" $DOCUMENT
