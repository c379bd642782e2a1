#!/usr/bin/env bash
# Breaks the system on purpose, one rule at a time, and lets the simulator or a test find out: a rule whose absence nobody
# notices is not tested. Works on a copy under target/, never on the checkout.
#
#   scripts/mutations.sh               all of scripts/mutations/*.patch
#   scripts/mutations.sh relay claim   those whose file name has one of these words
#
# A patch begins with "Without: RULE". If histories do not show the rule (scripts of Redis, tables of errors, what heals
# before a promise is broken), a second line names the test that has to fail: "Test: integration NAME", "Test: simulation NAME"
# for one on the models, or "Test: lib NAME" for a test of the library. Tests of the integration suite need servers:
# eval "$(scripts/services.sh env)" first.
#
# Prints a table: what was taken out, which seed or test noticed, and the promise that was broken. Exits with 1 if one goes
# unnoticed, or does not apply any more. HISTORIES (10000) is how many histories each may take. About a minute each.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

histories=${HISTORIES:-10000}
here=$PWD
tree=$here/target/mutations/tree
export CARGO_TARGET_DIR=$here/target/mutations/build

# The copy: what the checkout has now, committed or not. Files that are the same keep their time, so that little is
# built anew.
copy() {
    mkdir -p "$tree"
    git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
        [ -f "$file" ] || continue
        cmp -s "$file" "$tree/$file" || { mkdir -p "$tree/$(dirname "$file")" && cp "$file" "$tree/$file"; }
    done
    find "$tree/src" "$tree/tests" -type f | while IFS= read -r file; do
        [ -f "$here/${file#"$tree/"}" ] || rm "$file"
    done
}

# Plays histories on the copy; prints the first failure as "seed N: what was broken", or nothing.
noticed() {
    local told
    cargo build --quiet --manifest-path "$tree/Cargo.toml" --package flashsale-simulator 2>"$tree/build.log" ||
        { tail -20 "$tree/build.log" >&2 && return 2; }
    # It fails if a history broke a promise, which is what is looked for.
    told=$("$CARGO_TARGET_DIR/debug/simulate" --seed 0 --histories "$histories" 2>/dev/null) || true
    grep -m 1 '^seed [0-9]*: ' <<<"$told" || true
}

# Runs one test on the copy, given as the patch names it; prints "passed", or why it failed.
tested() {
    local where=$1 name=$2 told target=--lib
    [ "$where" = lib ] || target="--test $where"
    # shellcheck disable=SC2086 # two words
    cargo test --quiet --manifest-path "$tree/Cargo.toml" $target --no-run 2>"$tree/build.log" ||
        { tail -20 "$tree/build.log" >&2 && return 2; }
    # shellcheck disable=SC2086
    told=$(cd "$tree" && cargo test --quiet $target -- --exact "$name" 2>&1) || true
    if grep -q '^test result: ok. 1 passed' <<<"$told"; then
        echo passed
    elif grep -q '^test result: FAILED. 0 passed; 1 failed' <<<"$told"; then
        # The line after the place of the panic says what was wrong.
        grep -m 1 -A 1 'panicked at' <<<"$told" | tail -1
    else
        echo "there is no test $name in $where" >&2
        return 2
    fi
}

header() {
    sed -n "1,/^\$/s/^$2: //p" "$1"
}

wanted() {
    [ $# -gt 1 ] || return 0
    local patch=$1 word
    shift
    for word in "$@"; do
        [[ $patch != *"$word"* ]] || return 0
    done
    return 1
}

copy
failure=$(noticed)
if [ -n "$failure" ]; then
    echo "The simulator finds this without any mutation: $failure" >&2
    exit 1
fi
for patch in scripts/mutations/*.patch; do
    wanted "$patch" "$@" || continue
    read -r where name <<<"$(header "$patch" Test)"
    [ -n "$where" ] || continue
    failure=$(tested "$where" "$name")
    if [ "$failure" != passed ]; then
        echo "$name fails without any mutation: $failure" >&2
        exit 1
    fi
done

unnoticed=0
echo "| without | noticed by | broken |"
echo "| --- | --- | --- |"
for patch in scripts/mutations/*.patch; do
    wanted "$patch" "$@" || continue
    rule=$(header "$patch" Without)
    read -r where name <<<"$(header "$patch" Test)"
    # Outside of any repository, as far as git knows: paths are those of the copy.
    if ! (cd "$tree" && GIT_CEILING_DIRECTORIES=$here/target/mutations git apply "$here/$patch"); then
        echo "| $rule | does not apply any more | |"
        unnoticed=1
        copy
        continue
    fi
    if [ -n "$where" ]; then
        failure=$(tested "$where" "$name") || failure="none: it does not build"
        if [[ $failure =~ ^(passed|none:.*)$ ]]; then
            echo "| $rule | **nobody: $failure** | |"
            unnoticed=1
        else
            echo "| $rule | \`${name##*::}\` | ${failure//|/,} |"
        fi
    else
        failure=$(noticed) || failure="none: it does not build"
        if [[ $failure =~ ^seed\ ([0-9]+):\ (.*)$ ]]; then
            broken=${BASH_REMATCH[2]%%; *}
            echo "| $rule | seed ${BASH_REMATCH[1]} | ${broken//|/,} |"
        else
            echo "| $rule | **${failure:-nobody}** | |"
            unnoticed=1
        fi
    fi
    copy
done
exit $unnoticed
