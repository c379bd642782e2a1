#!/usr/bin/env bash
# Breaks the system on purpose, one rule at a time, and lets the simulator find out: a rule whose absence nobody notices is
# not tested. Works on a copy under target/, never on the checkout.
#
#   scripts/mutations.sh               all of scripts/mutations/*.patch
#   scripts/mutations.sh relay claim   those whose file name has one of these words
#
# Prints a table: what was taken out, which seed noticed, and the promise that was broken. Exits with 1 if one goes
# unnoticed, or does not apply any more. HISTORIES (10000) is how many histories each may take. Some minutes a dozen.
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
    find "$tree/src" -type f | while IFS= read -r file; do
        [ -f "$here/${file#"$tree/"}" ] || rm "$file"
    done
}

# Plays histories on the copy; prints the first failure as "seed N: what was broken", or nothing.
noticed() {
    local told
    cargo build --quiet --manifest-path "$tree/Cargo.toml" --bin flashsale 2>"$tree/build.log" ||
        { tail -20 "$tree/build.log" >&2 && return 2; }
    told=$("$CARGO_TARGET_DIR/debug/flashsale" simulate --seed 0 --histories "$histories" 2>/dev/null) || true
    grep -m 1 '^seed [0-9]*: ' <<<"$told" || true
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

unnoticed=0
echo "| without | noticed by seed | broken |"
echo "| --- | --- | --- |"
for patch in scripts/mutations/*.patch; do
    wanted "$patch" "$@" || continue
    name=$(sed -n 's/^Without: //p' "$patch")
    # Outside of any repository, as far as git knows: paths are those of the copy.
    if ! (cd "$tree" && GIT_CEILING_DIRECTORIES=$here/target/mutations git apply "$here/$patch"); then
        echo "| $name | does not apply any more | |"
        unnoticed=1
        copy
        continue
    fi
    failure=$(noticed) || failure="none: it does not build"
    if [[ $failure =~ ^seed\ ([0-9]+):\ (.*)$ ]]; then
        broken=${BASH_REMATCH[2]%%; *}
        echo "| $name | ${BASH_REMATCH[1]} | ${broken//|/,} |"
    else
        echo "| $name | **${failure:-nobody}** | |"
        unnoticed=1
    fi
    copy
done
exit $unnoticed
