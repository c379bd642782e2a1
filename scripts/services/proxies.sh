# shellcheck shell=bash disable=SC2034,SC2154 # sourced by scripts/services.sh, which sets and reads the shared variables
# HAProxy and nginx: installed here; tests/rolling starts them, on ports of its own.

has_program() { PATH=$PATH:/usr/sbin:/usr/local/sbin command -v "$1" >/dev/null; }

# Adds what is missing to the caller's list.
proxies_missing() {
    has_program haproxy || missing+=(haproxy)
    has_program nginx || missing+=(nginx-light)
}
