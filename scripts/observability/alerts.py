"""Fires alerts by faults: each fault is caused on a running system, and a real Prometheus must report its alert within 60 s, and not before
the fault. Times of the rules are shortened (`for`, ranges); thresholds in seconds stay.

    alerts.py [WORD ...]   all faults, or those whose alert has one of these words in its name
"""

import re
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import partial

from system import PASSWORD, Prometheus, http, on_servers, rules, wait_for

# The shortened rules: what stands in rules.yml, and what takes its place.
SHORTER = [(r"for: \w+", "for: 2s"), (r"(increase.*)\[15m\]", r"\1[30s]"), (r"\[[15]m\]", "[10s]"), (r"sum > 10000", "sum > 10")]
# Not fired here, with the reason.
LEFT_OUT = {
    "FlashsaleSaleNotLoaded": "a worker loads a sale within a second, and shows none while PostgreSQL or Redis is away",
    "FlashsaleDrift": "a worker finds contradicting keys first, and loads the sale anew (FlashsaleGateContradiction)",
    "FlashsaleClockOffset": "it needs another clock (tests/integration/nodes.rs runs a node with one)",
    "FlashsaleLogRestarted": "the topic would have to be made anew (tests/integration/partitions.rs does)",
    "FlashsaleEventsUnpublished": "no consumer of events is configured here",
    "FlashsaleEventsLost": "no consumer of events is configured here",
    "FlashsaleForeignSales": "it needs two databases that replace each other's sales three times",
}


class Faults:
    """Each method named as an alert causes its fault, and `mend` ends it."""

    def __init__(self, system):
        self.processes, self.system, self.api = system.processes, system, system.api
        self.tokens = [system.api.register(f"shopper{number}") for number in range(60)]
        self.mended = None
        self.streams = []

    def repeat(self, *requests, pause=0.0):
        """Sends each of these again and again in a thread of its own until `mend`, with a pause in seconds, whatever the answers are."""
        stop = self.mended = threading.Event()

        def run(request):
            while not stop.is_set():
                try:
                    request()
                except OSError:
                    pass
                stop.wait(pause)

        for request in requests:
            threading.Thread(target=run, args=(request,), daemon=True).start()

    def press(self, tokens):
        """Presses in the background until `mend`."""
        self.repeat(*(partial(self.api.attempt, token, timeout=20) for token in tokens), pause=0.05)

    def mend(self):
        if self.mended:
            self.mended.set()
        for stream in self.streams:
            stream.close()
        self.streams.clear()
        self.system.redis.delay = self.system.postgres.delay = 0
        self.system.redis.mend()
        self.system.postgres.mend()
        if self.system.working.poll() is not None:
            self.system.work()
        if self.system.serving.poll() is not None:
            self.system.serve()
        wait_for("the API after a fault", self.api.ready, 60)
        metrics = f"http://127.0.0.1:{self.system.worker_port}/metrics"
        wait_for("the worker after a fault", lambda: "flashsale_partitions_owned 3" in http("GET", metrics)[2], 60)

    def FlashsaleListenersRefused(self):
        # MAX_LISTENERS is 2.
        for token in self.tokens[:2]:
            self.streams.append(self.api.listen(token))
        events, headers = f"{self.api.url}/api/orders/events", {"Accept": "text/event-stream"}
        self.repeat(partial(http, "GET", events, token=self.tokens[3], headers=headers), pause=0.5)

    def FlashsalePasswordQueueFull(self):
        # One thread, four places.
        self.repeat(*[partial(self.api.login, "shopper0", PASSWORD + "?")] * 12)

    def FlashsaleFileDescriptors(self):
        used = len(subprocess.run(["ls", f"/proc/{self.system.serving.pid}/fd"], capture_output=True, text=True, check=True).stdout.split())
        subprocess.run(["prlimit", f"--pid={self.system.serving.pid}", f"--nofile={used + 8}:"], check=True)
        self.streams += [socket.create_connection(("127.0.0.1", self.system.api_port)) for _ in range(4)]

    def FlashsalePostgresPoolExhausted(self):
        # POSTGRES_POOL_SIZE is 2; logins need it.
        self.system.postgres.delay = 1.0
        self.repeat(*(partial(self.api.login, f"shopper{number}") for number in range(4, 8)))

    def FlashsaleAttemptsSlow(self):
        self.system.redis.delay = 1.2
        self.press(self.tokens[:4])

    def FlashsaleDeadLetters(self):
        # A sale that does not exist, as another program could write it.
        record = '{"v":1,"attemptId":"01990000-0000-7000-8000-000000000001","userId":"1","productId":1,"saleId":999,"timestamp":"2026-01-01T12:00:00.000Z"}'
        self.system.produce(record)

    FlashsaleDeadLettersOpen = FlashsaleDeadLetters

    def FlashsaleResultsLost(self):
        # They are written when a press is refused from memory, and Redis is gone.
        self.system.psql("UPDATE flash_sales SET initial_stock = initial_stock - remaining_stock")
        wait_for("the end of the units", lambda: '"none"' in http("GET", f"{self.api.url}/api/flash-sales/1")[2], 20)
        self.press([self.api.register(f"late{number}") for number in range(4)])
        time.sleep(1)
        self.system.redis.cut()

    def FlashsaleAttemptsFail(self):
        self.system.redis.cut()
        self.press(self.tokens[:6])

    FlashsaleErrors = FlashsaleDependencyDown = FlashsaleAttemptsFail

    def FlashsaleGateContradiction(self):
        for key in self.system.redis_cli("--scan", "--pattern", "flashsale:*").split():
            if "holders" in key:
                self.system.redis_cli("DEL", key)

    def FlashsaleLedgerSetBack(self):
        self.api.attempt(self.tokens[10])
        time.sleep(2)
        self.system.psql("UPDATE consumer_partitions SET next_offset = 0")

    def FlashsalePartitionsUnread(self):
        self.processes.stop(self.system.working)

    FlashsaleProcessDown = FlashsalePartitionsUnread

    def FlashsaleSettlementLate(self):
        self.processes.stop(self.system.working)
        for token in self.tokens[20:25]:
            self.api.attempt(token)

    def FlashsaleConsumerLag(self):
        # Each statement of the transaction that settles takes a second.
        self.system.postgres.delay = 1.0
        for token in self.tokens[25:60]:
            self.api.attempt(token)

    def FlashsaleRestarting(self):
        for _ in range(4):
            self.processes.stop(self.system.working, signal.SIGKILL)
            self.system.work()
            time.sleep(2)


def shortened():
    text = rules()
    for long, short in SHORTER:
        text = re.sub(long, short, text)
    # Alerts without `for` fire at once.
    return text


def main(words):
    names = re.findall(r"- alert: (\w+)", rules())
    unknown = set(LEFT_OUT) - set(names)
    assert not unknown, unknown
    missing = [name for name in names if name not in LEFT_OUT and not hasattr(Faults, name)]
    assert not missing, f"neither fired nor left out: {missing}"
    chosen = [name for name in names if hasattr(Faults, name) and (not words or any(word in name for word in words))]
    failed = []
    limits = {"MAX_LISTENERS": 2, "PASSWORD_THREADS": 1, "PASSWORD_QUEUE": 4, "PASSWORD_MEMORY_KIB": 19456, "PASSWORD_PASSES": 4,
              "POSTGRES_POOL_SIZE": 2, "SETTLEMENT_LAG_SECS": 0, "POSTGRES_POOL_TIMEOUT_MS": 20000}
    with on_servers("alerts", stock=1000, **limits) as system:
        prometheus = Prometheus(system.processes, system.targets(), shortened())
        faults = Faults(system)
        for name in chosen:
            wait_for(f"{name} is quiet", lambda name=name: name not in prometheus.firing(), 60)
            begun = time.monotonic()
            getattr(faults, name)()
            try:
                wait_for(name, lambda name=name: name in prometheus.firing(), 60)
                print(f"{name}: fired after {time.monotonic() - begun:.0f} s", flush=True)
            except SystemExit as problem:
                failed.append(str(problem))
                print(f"{problem}", flush=True)
            faults.mend()
    for name, reason in LEFT_OUT.items():
        print(f"{name}: not fired here: {reason}")
    if failed:
        raise SystemExit(f"{len(failed)} alerts did not fire")


if __name__ == "__main__":
    main(sys.argv[1:])
