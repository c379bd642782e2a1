#!/usr/bin/env bash
# Changes each function of a diff in small ways, one at a time, and runs the library's tests: a change that no test notices is
# printed as "missed". Shows what a change leaves untested, without servers. scripts/mutations.sh breaks the rules instead.
#
#   scripts/mutants.sh [BASE]      what was changed since the commit BASE (default: HEAD~1), committed or not
#
# Exits with 2 if a mutant was missed. Takes about a minute for each mutant; TIMEOUT_SECS (60) ends a test run that hangs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

CARGO_MUTANTS=27.1.0
tools=$PWD/target/tools
if [ "$("$tools/cargo/bin/cargo-mutants" mutants --version 2>/dev/null)" != "cargo-mutants $CARGO_MUTANTS" ]; then
    CARGO_TARGET_DIR=$tools/build cargo install --quiet --locked --root "$tools/cargo" --version $CARGO_MUTANTS cargo-mutants
fi
mkdir -p target/mutants
git diff "${1:-HEAD~1}" -- src >target/mutants/diff
if [ ! -s target/mutants/diff ]; then
    echo "mutants: nothing under src differs from ${1:-HEAD~1}"
    exit 0
fi
PATH=$tools/cargo/bin:$PATH cargo mutants --in-diff target/mutants/diff --output target/mutants --jobs 1 \
    --timeout "${TIMEOUT_SECS:-60}" --baseline skip -- --lib
