#!/usr/bin/env python3
"""Runs the pod of the development overlay as Kubernetes does, without Kubernetes: its arguments and settings, process 1 of the image's user
without capabilities, a root file system that cannot be written, a volume that every user may write. Asks its probes, buys, and ends it with
SIGTERM within its grace period.

Usage: pod.py PROGRAM KUSTOMIZE... Needs root, for namespaces.
"""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import facts
import rules
from check import OVERLAYS, render

# Mounts end with the process. /mnt takes the place of the volume, and holds the program where any user may read it.
START = """
mount -t tmpfs -o mode=0777 tmpfs /mnt
touch /mnt/program && mount --bind "$0" /mnt/program
for at in / $(awk '$3 != "proc" && $3 != "sysfs" && $2 !~ "^/(mnt|dev|proc|sys)" { print $2 }' /proc/self/mounts); do
    mount -o remount,ro,bind "$at"
done
! touch /tmp/written 2>/dev/null || exit 70
cd /
exec setpriv --reuid "$1" --regid "$2" --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs /mnt/program "${@:3}"
"""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def status(url, data=None, token=None):
    """The status and the JSON of an answer; 0 if there is none."""
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    body = json.dumps(data).encode() if data is not None else None
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, None
    except OSError:
        return 0, None


def wait_for(probe, base, process):
    budget = probe["periodSeconds"] * probe.get("failureThreshold", 3)
    deadline = time.monotonic() + budget
    while status(base + probe["httpGet"]["path"])[0] != 200:
        if process.poll() is not None:
            sys.exit(f"pod: the process ended with {process.returncode} (70: its root can be written)")
        if time.monotonic() > deadline:
            sys.exit(f"pod: {probe['httpGet']['path']} is not 200 within {budget} s")
        time.sleep(0.1)


def main():
    program, sys.argv[1:] = Path(sys.argv[1]).resolve(), sys.argv[2:]
    known, documents = facts.read(), render(OVERLAYS / "development")
    (pod,) = rules.workloads(documents)
    (volume,) = pod.container["volumeMounts"]
    ports = {"PORT": free_port(), "METRICS_PORT": free_port()}
    settings = {name: value.replace(volume["mountPath"], "/mnt") for name, value in pod.settings.items()}
    settings |= {name: str(port) for name, port in ports.items()} | {"HOST": "127.0.0.1", "METRICS_HOST": "127.0.0.1"}
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-euc", START, program]
    command += [str(known.user), str(known.group), *pod.container["args"]]
    process = subprocess.Popen(command, env=settings | {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    api, inside = (f"http://127.0.0.1:{port}" for port in ports.values())
    wait_for(pod.container["startupProbe"], inside, process)
    wait_for(pod.container["livenessProbe"], inside, process)
    wait_for(pod.container["readinessProbe"], inside, process)
    _, session = status(f"{api}/api/auth/login", {"username": "user1", "password": "password123"})
    bought, _ = status(f"{api}/api/flash-sale/attempt/1", {}, session["data"]["token"])
    begun = time.monotonic()
    (first,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    subprocess.run(["kill", f"-{signal.SIGTERM}", first], check=True)
    code = process.wait(pod.pod["terminationGracePeriodSeconds"])
    print(f"pod: bought with {bought}, ended with {code} after {time.monotonic() - begun:.1f} s")
    return 0 if (bought, code) == (200, 0) else 1


if __name__ == "__main__":
    sys.exit(main())
