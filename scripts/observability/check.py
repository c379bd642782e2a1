"""Asks a real Prometheus, which watches serve and work on servers and the embedded system, every query of the dashboard: each must have
an answer with data. `promtool check metrics` must find nothing in what the processes serve."""

import json
import os
import subprocess
import sys
import time

from system import OUT, PASSWORD, PROGRAM, ROOT, Api, Processes, Prometheus, Servers, free_port, http, rules, settings, wait_for

# What the embedded system does not have.
NOT_EMBEDDED = ("flashsale_postgres_", "flashsale_log_partitions")


def check_metrics(name, url):
    _, headers, page = http("GET", f"{url}/metrics")
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4"), headers
    found = subprocess.run(["promtool", "check", "metrics"], input=page, text=True, capture_output=True, check=False)
    if found.returncode != 0 or found.stderr.strip():
        raise SystemExit(f"promtool check metrics, {name}:\n{found.stdout}{found.stderr}")
    helps, samples = page.count("# HELP"), sum(not line.startswith("#") for line in page.splitlines())
    print(f"{name}: {helps} metrics, {samples} samples, {len(page)} bytes")


def queries():
    """The title of its panel and each query."""
    with open(os.path.join(ROOT, "config/grafana/flashsale.json"), encoding="utf-8") as file:
        dashboard = json.load(file)
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"].replace("$__rate_interval", "15s")


def use(api, shoppers):
    """Presses until the sale is sold out, repeated presses, results, streams, a failed login."""
    tokens = [api.register(f"shopper{number}") for number in range(shoppers)]
    listening = api.listen(tokens[0])
    for _ in range(3):
        for token in tokens:
            api.attempt(token)
            api.status(token)
        api.login("shopper0", "not " + PASSWORD)
        time.sleep(1)
    return listening


def ask(prometheus, system, missing=()):
    wanted = [(title, query) for title, query in queries() if not any(name in query for name in missing)]
    wanted += [("rules", line.split(": ", 1)[1]) for line in rules().splitlines() if line.strip().startswith("- record: ")]
    left = dict.fromkeys(wanted)

    def all_have_data():
        for title, query in list(left):
            if prometheus.query(query):
                del left[(title, query)]
        return not left

    try:
        wait_for("data", all_have_data, 30)
    except SystemExit:
        raise SystemExit(f"{system}: no data for " + "\n  ".join(f"{title}: {query}" for title, query in left)) from None
    print(f"{system}: {len(wanted)} queries of dashboard and rules have data")


def on_servers():
    processes = Processes("servers")
    system = None
    try:
        system = Servers(processes)
        system.work()
        system.serve()
        prometheus = Prometheus(processes, system.targets(), rules())
        listening = use(system.api, 8)
        ask(prometheus, "servers")
        check_metrics("serve", system.api.url)
        check_metrics("work", f"http://127.0.0.1:{system.worker_port}")
        listening.close()
    finally:
        processes.stop_all()
        if system:
            system.remove()


def embedded():
    processes = Processes("embedded")
    try:
        port = free_port()
        env = settings(PORT=port, FLASH_SALE_TOTAL_STOCK=5, FLASHSALE_DATA_DIR=os.path.join(OUT, "embedded", "data"))
        processes.start("serve", [PROGRAM, "serve", "--embedded"], env)
        api = Api(f"http://127.0.0.1:{port}")
        wait_for("serve --embedded", api.ready)
        prometheus = Prometheus(processes, {"flashsale": f"127.0.0.1:{port}"}, rules())
        listening = use(api, 8)
        ask(prometheus, "embedded", NOT_EMBEDDED)
        check_metrics("serve --embedded", api.url)
        listening.close()
    finally:
        processes.stop_all()


if __name__ == "__main__":
    embedded()
    if "--embedded-only" not in sys.argv:
        on_servers()
