# shellcheck shell=bash disable=SC2154 # sourced by scripts/contract.sh and scripts/pages.sh, which set TOPIC and OUT
# A check with a log of its own, and a server to run checks against. TOPIC begins each line, OUT is the folder of the logs. Lines of a log
# that match TELL, if that is set, are shown.

check() {
    local begun=$SECONDS log=$OUT/${1//[^a-zA-Z0-9]/-}.log
    printf '%s: %s' "$TOPIC" "$1"
    shift
    "$@" >"$log" 2>&1 || {
        printf ' failed: %s\n' "$*"
        tail -n 60 "$log" >&2
        exit 1
    }
    printf ' (%s s)\n' $((SECONDS - begun))
    [ -z "${TELL:-}" ] || awk -v tell="$TELL" '$0 ~ tell' "$log"
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# Waits until an address answers, 60 s at most.
answers() {
    local deadline=$((SECONDS + 60))
    until curl --silent --fail --max-time 2 --output /dev/null "$1"; do
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.1
    done
}

# Stops the processes in `started` at the end of the script. One of them may have ended by itself.
started=()
stop_all() {
    local pid
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
}
trap stop_all EXIT
