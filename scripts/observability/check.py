"""Asks a real Prometheus, which watches serve and work on servers and the embedded system, every query of the dashboard: each must have
an answer with data. `promtool check metrics` must find nothing in what the processes serve."""

import json
import os
import subprocess
import sys
import time

from system import PASSWORD, ROOT, Prometheus, embedded, http, on_servers, rules, wait_for

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


def check_servers():
    with on_servers("servers") as system:
        prometheus = Prometheus(system.processes, system.targets(), rules())
        listening = use(system.api, 8)
        ask(prometheus, "servers")
        check_metrics("serve", system.api.url)
        check_metrics("work", f"http://127.0.0.1:{system.worker_port}")
        listening.close()


def check_embedded():
    with embedded("embedded", stock=5) as system:
        prometheus = Prometheus(system.processes, system.targets(), rules())
        listening = use(system.api, 8)
        ask(prometheus, "embedded", NOT_EMBEDDED)
        check_metrics("serve --embedded", system.api.url)
        listening.close()


if __name__ == "__main__":
    check_embedded()
    if "--embedded-only" not in sys.argv:
        check_servers()
