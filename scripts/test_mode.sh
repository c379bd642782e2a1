#!/usr/bin/env bash
# The integration suite with its servers in another mode: tls or pgbouncer. Says which tests went past the mode, and how.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mode=${1:?the mode is missing: tls or pgbouncer}
case $mode in
tls) up=(tls) ;;
pgbouncer) up=(cluster pgbouncer) ;;
*)
    echo "test_mode: unknown mode: $mode (tls, pgbouncer)" >&2
    exit 2
    ;;
esac
scripts/services.sh up "${up[@]}"
eval "$(scripts/services.sh env "$mode")"

exceptions=$PWD/target/test-$mode.exceptions
mkdir -p target
: >"$exceptions"
result=0
FLASHSALE_TEST_EXCEPTIONS=$exceptions cargo test --test integration "${@:2}" || result=$?

echo
echo "Mode $mode: $(sed 's/: .*//' "$exceptions" | sort -u | wc -l) tests had servers of their own that this mode does not reach, or went past it:"
sort -u "$exceptions" | sed 's/^/  /'
exit $result
