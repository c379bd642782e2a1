# shellcheck shell=bash disable=SC2034,SC2154 # sourced by scripts/services.sh, which sets and reads the shared variables
# Installing what is missing, with Debian's packages and those of PyPI.

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Installs Debian packages without letting them start servers of their own.
install_packages() {
    command -v apt-get >/dev/null || fail "missing: $*. Install them; there is no apt-get here to do it."
    if [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; then
        fail "missing: $*. Install them: sudo apt-get install $*"
    fi
    say "installing $*"
    local policy=/usr/sbin/policy-rc.d own_policy=
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
        as_root chmod +x $policy
        own_policy=1
    fi
    local log=$DIR/apt.log ok=1
    {
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@" ||
            { as_root apt-get update &&
                as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@"; }
    } >"$log" 2>&1 || ok=
    [ -z "$own_policy" ] || as_root rm -f $policy
    [ -n "$ok" ] || {
        tail -n 5 "$log" >&2
        fail "these packages could not be installed: $*"
    }
}

# Installs packages of PyPI into a folder: pinned by the caller, without what they depend on, nothing built.
pip_install() {
    local folder=$1
    shift
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --only-binary :all: --target "$folder" "$@"
}
