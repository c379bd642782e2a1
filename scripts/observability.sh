#!/usr/bin/env bash
# What Prometheus and Grafana are given: rules and their tests, the metrics of running processes, every query of the dashboard; with
# `alerts`, every alert fired by a fault. Needs the servers of scripts/services.sh; logs are in target/observability.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

DIR=$PWD/target/tools
mkdir -p "$DIR"
say() { printf 'observability: %s\n' "$*"; }
fail() {
    say "$*" >&2
    exit 1
}
# shellcheck source=scripts/services/packages.sh
. scripts/services/packages.sh
(
    flock -w 900 9
    missing=()
    command -v promtool >/dev/null || missing+=(prometheus)
    command -v psql >/dev/null || missing+=(postgresql-client)
    command -v redis-server >/dev/null || missing+=(redis-server)
    [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
) 9>"$DIR/lock"

promtool check rules config/prometheus/rules.yml
promtool test rules config/prometheus/rules_test.yml
cargo build --quiet
export PYTHONDONTWRITEBYTECODE=1
case ${1:-check} in
check)
    python3 scripts/observability/check.py
    python3 scripts/observability/trace.py
    ;;
alerts) python3 scripts/observability/alerts.py "${@:2}" ;;
*) fail "check or alerts, not $1" ;;
esac
