"""Traces and logs of a purchase: a collector on loopback takes the spans of API and worker, and each is checked; every line of the
logs in JSON has the fields of docs/LOGGING.md and no others."""

import http.server
import json
import os
import re
import threading
import time

from system import ROOT, embedded, http as ask, on_servers, wait_for

SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5
# Modules whose lines are all written while a request is answered: the security log of a server, and answers 500 and 503.
OF_REQUESTS = {"security", "flashsale::api::mapping", "flashsale::http::finish"}


class Collector:
    """Takes OTLP over HTTP as JSON. Spans by name of their process and their own."""

    def __init__(self):
        self.spans = []
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                assert self.path == "/v1/traces", self.path
                assert self.headers["content-type"] == "application/json"
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                for of_resource in body["resourceSpans"]:
                    resource = attributes(of_resource["resource"])
                    assert resource["service.name"] == "flashsale"
                    for of_scope in of_resource["scopeSpans"]:
                        for span in of_scope["spans"]:
                            collector.spans.append((resource["flashsale.process.kind"], span))
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def of(self, trace):
        return {span["name"]: (kind, span) for kind, span in self.spans if span["traceId"] == trace}


def attributes(of):
    return {item["key"]: next(iter(item["value"].values())) for item in of["attributes"]}


def traceparent(trace, flag):
    return f"00-{trace}-1122334455667788-{flag}"


def check_trace(system, collector, apis, processes):
    """One trace leads from the request to the push. `apis`: of the press and of the stream; `processes`: of the API and of the worker."""
    api, listened = apis
    of_api, of_worker = processes
    holder, refused = api.register("traced"), api.register("refused")
    listening = listened.listen(holder)
    heard = listening.readline()
    assert heard, "the stream has begun"
    trace = os.urandom(16).hex()
    status, headers, text = api.attempt(holder, headers={"traceparent": traceparent(trace, "01"), "x-request-id": "cart-7"})
    assert status == 200, text
    attempt = json.loads(text)["data"]["attemptId"]
    version, same, span_of_answer, flags = headers["traceparent"].split("-")
    assert (version, same, flags, headers["x-request-id"]) == ("00", trace, "01", "cart-7"), headers
    expected = {"POST attempt", "reserve", "append", "settle", "record", "push"}
    wait_for(f"{system}: the spans of the trace", lambda: set(collector.of(trace)) >= expected, 20)
    spans = collector.of(trace)
    assert set(spans) == expected, set(spans)

    request = spans["POST attempt"][1]
    assert request["spanId"] == span_of_answer and request["parentSpanId"] == "1122334455667788"
    assert attributes(request) == {"http.request.method": "POST", "http.route": "attempt", "http.response.status_code": "200"}
    parents = {"reserve": "POST attempt", "append": "POST attempt", "settle": "append", "record": "settle", "push": "settle"}
    for name, parent in parents.items():
        assert spans[name][1]["parentSpanId"] == spans[parent][1]["spanId"], name
    kinds = {"POST attempt": SERVER, "reserve": CLIENT, "append": PRODUCER, "settle": CONSUMER, "record": CLIENT, "push": PRODUCER}
    assert {name: span["kind"] for name, (_, span) in spans.items()} == kinds
    assert {name for name, (kind, _) in spans.items() if kind == of_worker} >= {"settle", "record"}
    assert {name for name, (kind, _) in spans.items() if kind == of_api} >= {"POST attempt", "reserve", "append", "push"}
    settle = attributes(spans["settle"][1])
    assert settle["flashsale.attempt.id"] == attempt and settle["flashsale.outcome"] == "ordered", settle
    for name, (_, span) in spans.items():
        start, end = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
        assert abs(time.time() * 1e9 - start) < 60e9 and start < end, span
        assert re.fullmatch("[0-9a-f]{16}", span["spanId"]) and "status" not in span, name
    order = [int(spans[name][1]["startTimeUnixNano"]) for name in ("POST attempt", "reserve", "append", "settle", "record", "push")]
    # Starts are measured back from the end by two clocks: a millisecond is given.
    assert all(early <= late + 1_000_000 for early, late in zip(order, order[1:])), order

    # Refused presses are not traced, nor those whose flag says so.
    no_unit, not_sampled = os.urandom(16).hex(), os.urandom(16).hex()
    status, _, _ = api.attempt(refused, headers={"traceparent": traceparent(no_unit, "01")})
    assert status == 409, status
    ask("GET", f"{api.url}/api/flash-sales", headers={"traceparent": traceparent(not_sampled, "00")})
    last = os.urandom(16).hex()
    ask("GET", f"{api.url}/api/flash-sales", headers={"traceparent": traceparent(last, "01")})
    wait_for("the last span", lambda: collector.of(last), 10)
    assert set(collector.of(last)) == {"GET sales"}
    assert not collector.of(no_unit) and not collector.of(not_sampled)
    listening.close()
    print(f"{system}: {len(spans)} spans of a purchase, none of a refused one")


def documented_fields():
    with open(os.path.join(ROOT, "docs/LOGGING.md"), encoding="utf-8") as file:
        page = file.read()
    rows = [re.findall(r"^\| `([a-z_]+)` \|", part, re.MULTILINE) for part in (page.split("\n## A line in JSON\n")[1].split("\n## ")[0], page.split("\n## Fields\n")[1])]
    return set(rows[0]), set(rows[1])


def check_logs(processes, wanted):
    """Every line is JSON of documented fields, and every line of a request has its ids; those of the refused logins are `wanted`."""
    keys, fields = documented_fields()
    lines, of_requests, ids, refused = 0, 0, set(), set()
    for name in sorted(os.listdir(processes.folder)):
        if not re.search("-(serve|work)", name):
            continue
        with open(os.path.join(processes.folder, name), encoding="utf-8") as file:
            for text in file:
                # The embedded system prints its addresses to standard output, which is in the same file.
                if not text.startswith("{"):
                    continue
                line = json.loads(text)
                assert set(line) <= keys, f"{name}: {set(line) - keys} is not documented: {text}"
                assert set(line["fields"]) <= fields, f"{name}: {set(line['fields']) - fields} is not documented: {text}"
                assert re.match("flashsale|security", line["target"]), text
                lines += 1
                # Accounts that are made at the start are of no request.
                if line["target"] in OF_REQUESTS and line["fields"].get("address") != "local":
                    assert "request_id" in line, f"{name}: a line of a request has no ids: {text}"
                    of_requests += 1
                assert ("request_id" in line) == ("trace_id" in line), text
                if "request_id" in line:
                    assert re.fullmatch("[0-9a-f]{32}", line["trace_id"]), text
                    ids.add(line["request_id"])
                if line["fields"].get("event") == "login" and line["fields"]["outcome"] != "ok":
                    refused.add(line["request_id"])
    assert lines > 5 and of_requests > 2 and wanted == refused, (lines, of_requests, wanted ^ refused)
    print(f"{lines} log lines have documented fields, {of_requests} of requests and more have ids ({len(ids)})")


def log_in_badly(api):
    """A line of the security log with the client's id, and one with a made one."""
    bad = {"username": "traced", "password": "wrong wrong wrong"}
    ask("POST", f"{api.url}/api/auth/login", bad, headers={"x-request-id": "login-1"})
    _, headers, _ = ask("POST", f"{api.url}/api/auth/login", bad)
    return {"login-1", headers["x-request-id"]}


def tracing(collector):
    return {"OTLP_ENDPOINT": collector.url, "TRACE_SAMPLE_RATIO": "0", "LOG_FORMAT": "json", "LOG_LEVEL": "flashsale=debug,info"}


def check_servers():
    collector = Collector()
    with on_servers("trace-servers", stock=1, **tracing(collector)) as system:
        wait_for("the sale", lambda: sale_is_open(system.api), 30)
        # The shopper presses at one node and listens at another.
        other = system.serve_another()
        check_trace("servers", collector, (system.api, other), ("api", "worker"))
        wanted = log_in_badly(system.api)
        system.redis.cut()
        system.api.attempt(system.api.login("refused"), timeout=30)
        time.sleep(2)
        system.redis.mend()
        for child in (system.serving, system.working):
            system.processes.stop(child)
        check_logs(system.processes, wanted)


def check_embedded():
    collector = Collector()
    with embedded("trace-embedded", stock=1, **tracing(collector)) as system:
        wait_for("the sale", lambda: sale_is_open(system.api), 30)
        check_trace("embedded", collector, (system.api, system.api), ("embedded", "embedded"))
        wanted = log_in_badly(system.api)
        system.processes.stop(system.serving)
        check_logs(system.processes, wanted)


def sale_is_open(api):
    sales = json.loads(ask("GET", f"{api.url}/api/flash-sales")[2])
    return '"open"' in json.dumps(sales)


if __name__ == "__main__":
    check_embedded()
    check_servers()
