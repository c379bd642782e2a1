"""Fires every alert by a fault: each fault is caused on a running system, and a real Prometheus must report its alert within 60 s, and
not before the fault. Times of the rules (`for`, ranges) and counts of records and events are shortened; thresholds in seconds stay.

    alerts.py [WORD ...]   all faults, or those whose alert has one of these words in its name
"""

import contextlib
import json
import os
import platform
import re
import resource
import signal
import socket
import sys
import threading
import time
import uuid
from functools import partial

from system import PASSWORD, Prometheus, http, on_servers, rules, wait_for

# The shortened rules: what stands in rules.yml, and what takes its place.
SHORTER = [(r"for: \w+", "for: 2s"), (r"(increase.*)\[15m\]", r"\1[30s]"), (r"\[[15]m\]", "[10s]"), (r"sum > 10000", "sum > 10"),
           (r"unpublished > 1000", "unpublished > 10")]


# The largest record that a topic takes, by default.
RECORD_BYTES = 1048588
# How the session of a transaction that is never ended calls itself.
HOLDER = "alerts holder"


def clock_ahead(offset):
    """The environment of a process whose machine's clock is off. Timers keep the right one."""
    library = f"/usr/lib/{platform.machine()}-linux-gnu/faketime/libfaketimeMT.so.1"
    assert os.path.exists(library), f"{library} is missing; scripts/services.sh installs faketime"
    return {"LD_PRELOAD": library, "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}


class Faults:
    """Each method named as an alert causes its fault, and `mend` ends it."""

    def __init__(self, system):
        self.processes, self.system, self.api = system.processes, system, system.api
        self.tokens = [system.api.register(f"shopper{number}") for number in range(60)]
        # What ends the faults, the last one first.
        self.undo = contextlib.ExitStack()

    def repeat(self, *requests, pause=0.0):
        """Sends each of these again and again in a thread of its own until `mend`, with a pause in seconds, whatever the answers are."""
        stop = threading.Event()
        self.undo.callback(stop.set)

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

    def hold_open(self, stream):
        self.undo.callback(stream.close)

    def mend(self):
        self.undo.close()
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
        wait_for("the sale after a fault", lambda: 'flashsale_sale_loaded{sale="1"} 1' in http("GET", metrics)[2], 120)
        self.system.discard_letters()

    def FlashsaleListenersRefused(self):
        # MAX_LISTENERS is 2.
        for token in self.tokens[:2]:
            self.hold_open(self.api.listen(token))
        events, headers = f"{self.api.url}/api/orders/events", {"Accept": "text/event-stream"}
        self.repeat(partial(http, "GET", events, token=self.tokens[3], headers=headers), pause=0.5)

    def FlashsalePasswordQueueFull(self):
        # One thread, four places.
        self.repeat(*[partial(self.api.login, "shopper0", PASSWORD + "?")] * 12)

    def FlashsaleFileDescriptors(self):
        pid = self.system.serving.pid
        limit, most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")) + 8, most))
        self.undo.callback(resource.prlimit, pid, resource.RLIMIT_NOFILE, (limit, most))
        for _ in range(4):
            self.hold_open(socket.create_connection(("127.0.0.1", self.system.api_port)))

    def FlashsalePostgresPoolExhausted(self):
        # POSTGRES_POOL_SIZE of the node is 2; logins need it.
        self.system.postgres.delay = 1.0
        self.repeat(*(partial(self.api.login, f"shopper{number}") for number in range(4, 8)))

    def FlashsaleAttemptsSlow(self):
        self.system.redis.delay = 1.2
        self.press(self.tokens[:4])

    def FlashsaleDeadLetters(self):
        # A sale that does not exist, as another program could write it. An attempt that was rejected before is no dead letter again.
        record = {"v": 1, "attemptId": str(uuid.uuid4()), "userId": "1", "productId": 1, "saleId": 999, "timestamp": "2026-01-01T12:00:00.000Z"}
        self.system.produce(json.dumps(record))

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

    def FlashsaleDrift(self):
        # A program writes into the stock again and again. The worker closes the sale and loads it anew, each time after a longer pause.
        script = "if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('INCR', KEYS[1]) end"
        self.repeat(partial(self.system.redis_cli, "EVAL", script, "1", "flashsale:{1}:stock"), pause=0.3)

    def FlashsaleSaleNotLoaded(self):
        # A transaction that nobody ends holds the sale's row, so that an attempt is not settled; then Redis is emptied. The sale is loaded
        # once the log is settled.
        self.hold("SELECT id FROM flash_sales FOR UPDATE")
        self.api.attempt(self.tokens[11])
        self.system.redis_cli("FLUSHALL")

    def hold(self, statement):
        """Holds the locks of a statement until `mend`."""
        command = self.system.psql_command(f"SET application_name = '{HOLDER}'; BEGIN; {statement}; SELECT pg_sleep(300)")
        holder = self.processes.start("holder", command, dict(os.environ, PGPASSWORD=os.environ["POSTGRES_PASSWORD"]))
        self.undo.callback(self.processes.stop, holder)
        # Its session would hold the locks until it has slept.
        self.undo.callback(self.system.psql, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{HOLDER}'"
                                             f" AND datname = '{self.system.mark}'")
        sleeping = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{HOLDER}' AND query LIKE '%pg_sleep%' AND wait_event = 'PgSleep'"
        wait_for("the locks", lambda: self.system.psql(sleeping) == "1", 20)

    def FlashsaleForeignSales(self):
        # A second shop with the same Redis: its sale has the same number.
        self.undo.callback(self.processes.stop, self.system.work_for_another_shop())

    def FlashsaleClockOffset(self):
        # Two seconds: above 3 s the node is not ready.
        self.processes.stop(self.system.serving)
        self.system.serve(**clock_ahead("+2s"))
        self.undo.callback(self.processes.stop, self.system.serving)

    def FlashsaleLogRestarted(self):
        # Records are deleted that no worker has settled.
        self.processes.stop(self.system.working)
        for token in self.tokens[12:18]:
            self.api.attempt(token)
        self.system.delete_records(self.system.topic)
        self.system.work()

    def FlashsaleEventsUnpublished(self):
        # Somebody set the topic of events to take no record of this size.
        self.system.topic_setting(self.system.events_topic, "max.message.bytes", 100)
        self.undo.callback(self.system.psql, "UPDATE flash_sales SET paused_at = NULL WHERE paused_at IS NOT NULL")
        self.undo.callback(self.system.topic_setting, self.system.events_topic, "max.message.bytes", RECORD_BYTES)
        for number in range(12):
            self.system.psql(f"UPDATE flash_sales SET paused_at = {'now()' if number % 2 == 0 else 'NULL'} WHERE id = 1")

    def FlashsaleEventsLost(self):
        # And for longer than events are kept: what is there becomes a month old, and is removed within a minute. That it is missing is
        # noticed when the sale has its next event.
        self.FlashsaleEventsUnpublished()
        self.system.psql("UPDATE event_batches SET created_at = created_at - interval '30 days'")
        wait_for("the removal of old events", lambda: self.system.psql("SELECT count(*) FROM event_batches") == "0", 90)
        self.system.psql("UPDATE flash_sales SET paused_at = now() WHERE id = 1")

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
        # A backlog, and a transaction that nobody ends: settling waits for the sale's row.
        self.processes.stop(self.system.working)
        for token in self.tokens[25:60]:
            self.api.attempt(token)
        self.hold("SELECT id FROM flash_sales FOR UPDATE")
        self.system.work()

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
    missing = [name for name in names if not hasattr(Faults, name)]
    assert not missing, f"alerts without a fault: {missing}"
    chosen = [name for name in names if not words or any(word in name for word in words)]
    failed = []
    limits = {"MAX_LISTENERS": 2, "PASSWORD_THREADS": 1, "PASSWORD_QUEUE": 4, "PASSWORD_MEMORY_KIB": 19456, "PASSWORD_PASSES": 4,
              "SETTLEMENT_LAG_SECS": 0, "EVENTS_ENABLED": "true"}
    of_nodes = {"POSTGRES_POOL_SIZE": 2, "POSTGRES_POOL_TIMEOUT_MS": 20000}
    with on_servers("alerts", stock=1000, of_nodes=of_nodes, **limits) as system:
        prometheus = Prometheus(system.processes, system.targets(), shortened())
        faults = Faults(system)
        for name in chosen:
            wait_for(f"{name} is quiet", lambda name=name: name not in prometheus.firing(), 60)
            prometheus.look_at_all()
            begun = time.monotonic()
            getattr(faults, name)()
            try:
                wait_for(name, lambda name=name: name in prometheus.firing(), 60)
                print(f"{name}: fired after {time.monotonic() - begun:.0f} s", flush=True)
            except SystemExit as problem:
                failed.append(str(problem))
                print(f"{problem}", flush=True)
            faults.mend()
    if failed:
        raise SystemExit(f"{len(failed)} of {len(chosen)} alerts did not fire")
    print(f"{len(chosen)} of {len(names)} alerts were fired")


if __name__ == "__main__":
    main(sys.argv[1:])
