#!/usr/bin/env bash
# Checks what is around the code: Dockerfile, compose file, Kubernetes manifests, scripts, spelling, dependencies, subjects of commits. Stops at the
# first check that fails; a tool that is missing is installed by scripts/tools.sh, or fails the run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/tools.sh
PATH=$PWD/target/tools/bin:$PATH

check() {
    printf 'packaging: %s\n' "$1"
    shift
    "$@" || {
        printf 'packaging: failed: %s\n' "$*" >&2
        exit 1
    }
}

# Every shell script of the repository, by name or by first line.
shell_scripts() {
    git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
        [ -f "$file" ] || continue
        [[ $file == *.sh ]] || head -n 1 "$file" | tr -d '\0' | grep -qE '^#!.*[ /](bash|sh)\b' && printf '%s\n' "$file"
    done
    return 0
}

# The compose file with nothing but the given settings; the machine's own variables and .env do not count.
compose() {
    local settings=$1
    shift
    env -i PATH="$PATH" HOME="$HOME" docker-compose --env-file "$settings" "$@"
}

# A setting that is missing stops compose by name: no secret has a default.
compose_wants_secrets() {
    local name settings=target/tools/compose.env told
    for name in POSTGRES_PASSWORD REDIS_PASSWORD JWT_SECRET; do
        grep -v "^$name=" .env.example >"$settings"
        if told=$(compose "$settings" config --quiet 2>&1); then
            echo "docker-compose.yml: it starts without $name" >&2
            return 1
        fi
        grep -q ": set $name in .env\$" <<<"$told" || { echo "docker-compose.yml: without $name: $told" >&2 && return 1; }
    done
}

# The reference of settings is that of config/default.toml.
configuration_is_current() {
    diff <(awk -f scripts/configuration.awk config/default.toml) docs/CONFIGURATION.md ||
        { echo "docs/CONFIGURATION.md is not that of config/default.toml: make configuration" >&2 && return 1; }
}

# Subjects of commits have at most 72 characters (CONTRIBUTING.md), but for those up to the last one that was longer, before
# this was checked. A clone without these commits, as CI makes one, is checked as far as it goes.
LAST_LONG_SUBJECT=4c87cdbed0b297061b22a31d3c5c867cc0cd4a2b

too_long() {
    local commit subject LC_ALL=C.UTF-8
    while read -r commit subject; do
        [ "${#subject}" -le 72 ] || printf '%s %s\n' "$commit" "$subject"
    done
}

commit_subjects() {
    local range=HEAD long
    if git merge-base --is-ancestor "$LAST_LONG_SUBJECT" HEAD 2>/dev/null; then
        range=$LAST_LONG_SUBJECT..HEAD
    elif [ "$(git rev-parse --is-shallow-repository)" = false ]; then
        echo "commits: $LAST_LONG_SUBJECT is not in the history: which ones are checked?" >&2
        return 1
    fi
    long=$(git log --no-merges --format='%h %s' "$range" | too_long)
    [ -z "$long" ] || { printf 'commits with a subject of more than 72 characters:\n%s\n' "$long" >&2 && return 1; }
}

mapfile -t scripts < <(shell_scripts)
check hadolint hadolint --no-color Dockerfile
check "image, the plan" scripts/image.py
check "AsyncAPI, the types of events" scripts/events_document.py
check "shellcheck, ${#scripts[@]} scripts" shellcheck -x "${scripts[@]}"
check "docker-compose config" compose .env.example config --quiet
check "docker-compose config, development" compose .env.example --profile development config --quiet
check "docker-compose, secrets" compose_wants_secrets
compose .env.example --profile development config >target/tools/compose.yml
check "docker-compose, ports and limits" awk -f scripts/compose.awk target/tools/compose.yml
check "docs/CONFIGURATION.md" configuration_is_current
check "subjects of commits" commit_subjects
check "Kubernetes manifests" scripts/manifests/run.sh check.py
if command -v go >/dev/null; then
    check actionlint target/tools/go/actionlint-* .github/workflows/*.yml
else
    echo "packaging: not checked, since go is not installed: .github/workflows"
fi
check typos typos
check "cargo-deny" cargo deny check --hide-inclusion-graph bans licenses sources
check "cargo-machete" cargo machete
