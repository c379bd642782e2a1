"""Webhooks as a shop's program receives them: serves an endpoint on loopback, buys, pauses and resumes a sale, and checks each request
with the published package standardwebhooks and each event with the schemas of docs/events. Writes the requests to a file, for
webhooks.mjs, which checks them with the package from npm.

    webhooks.py BASE SCHEMAS FILE
"""

import http.server
import json
import pathlib
import sys
import threading
import time
import urllib.request

import jsonschema_rs
from standardwebhooks import Webhook, WebhookVerificationError

base, schemas, file = sys.argv[1:]
received = []


class Endpoint(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        received.append({"headers": {name.lower(): value for name, value in self.headers.items()}, "body": body})
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def call(method, path, body=None, token=None, more=None):
    headers = {"Content-Type": "application/json", **(more or {})}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(base + path, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def wait_for(what, condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"not within 30 s: {what}"
        time.sleep(0.05)


endpoint = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
threading.Thread(target=endpoint.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{endpoint.server_address[1]}/"
admin = call("POST", "/api/auth/login", {"username": "admin", "password": "admin123"})["data"]["token"]
added = call("POST", "/api/admin/webhooks", {"url": url, "perSecond": 100}, admin)["data"]
rotated = call("POST", f"/api/admin/webhooks/{added['id']}/rotate", {"overlapHours": 1}, admin)["data"]
secrets = [added["secret"], rotated["secret"]]
time.sleep(1.5)  # workers read the endpoints once a second

sale = call("GET", "/api/flash-sales")["data"][0]["id"]
call("POST", f"/api/flash-sale/attempt/{sale}", token=admin)
for change in ["pause", "resume"]:
    call("POST", f"/api/admin/sales/{sale}/{change}", {"reason": "contract"}, admin, {"Idempotency-Key": change})
wanted = {"order.created", "sale.paused", "sale.resumed"}
wait_for("the events", lambda: wanted <= {json.loads(request["body"])["type"] for request in received})

# As formats are meant, not as annotations.
validate = {
    path.stem: jsonschema_rs.Draft202012Validator(json.loads(path.read_text()), validate_formats=True)
    for path in pathlib.Path(schemas).glob("*.json")
}
for request in received:
    for secret in secrets:
        Webhook(secret).verify(request["body"], request["headers"])
    try:
        Webhook(secrets[0]).verify(request["body"] + " ", request["headers"])
        raise AssertionError("a changed body is taken")
    except WebhookVerificationError:
        pass
    event = json.loads(request["body"])
    validate["event"].validate(event)
    validate[event["type"]].validate(event["data"])
for golden in pathlib.Path("tests/golden/events").glob("*.json"):
    event = json.loads(golden.read_text())
    validate["event"].validate(event)
    validate[event["type"]].validate(event["data"])
pathlib.Path(file).write_text(json.dumps({"secrets": secrets, "requests": received}))
print(f"Python: {len(received)} requests are signed and as their schemas say")
