"""A flashsale on servers, with a database, a topic and a Redis of its own, watched by a Prometheus, and an embedded one: for check.py, trace.py and
alerts.py.

PostgreSQL and Kafka are those of scripts/services.sh; PostgreSQL and Redis are reached through proxies that can be cut or slowed down, so
that no other user of the servers notices a fault.
"""

import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ.get("FLASHSALE_PROGRAM", os.path.join(ROOT, "target/debug/flashsale"))
OUT = os.path.join(ROOT, "target/observability")
PASSWORD = "correct horse battery staple 7"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, condition, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = condition()
            if found:
                return found
        except (OSError, urllib.error.URLError):
            pass
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not within {seconds} s")
        time.sleep(0.1)


def http(method, url, body=None, token=None, headers=None, timeout=15):
    """Answers status, headers and text; of any status."""
    headers = dict(headers or {})
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


class Proxy:
    """Passes TCP connections on. `cut` closes them and refuses new ones; `delay` holds bytes of answers back for some seconds."""

    def __init__(self, host, port):
        self.target = (host, port)
        self.delay = 0.0
        self.is_cut = False
        self.open = set()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        self.is_cut = True
        for connection in list(self.open):
            connection.close()

    def mend(self):
        self.is_cut = False

    def _accept(self):
        while True:
            client, _ = self.listener.accept()
            if self.is_cut:
                client.close()
                continue
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client):
        try:
            server = socket.create_connection(self.target)
        except OSError:
            client.close()
            return
        both = {client, server}
        self.open |= both
        try:
            while not self.is_cut:
                readable, _, _ = select.select(both, [], [], 1)
                for source in readable:
                    data = source.recv(65536)
                    if not data:
                        return
                    if source is server and self.delay:
                        time.sleep(self.delay)
                    (server if source is client else client).sendall(data)
        except (OSError, ValueError):
            pass
        finally:
            self.open -= both
            client.close()
            server.close()


class Processes:
    """Child processes with their logs. They are killed at the end."""

    def __init__(self, name):
        self.folder = os.path.join(OUT, name)
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        self.running = []
        self.count = 0

    def start(self, name, command, env=None, **options):
        self.count += 1
        log = open(os.path.join(self.folder, f"{self.count:02}-{name}.log"), "wb")
        child = subprocess.Popen(command, env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL, **options)
        self.running.append(child)
        return child

    def run(self, name, command, env=None):
        child = self.start(name, command, env)
        if child.wait(120) != 0:
            raise SystemExit(f"failed, see {self.folder}: {' '.join(command)}")

    def stop(self, child, how=signal.SIGTERM):
        if child.poll() is None:
            child.send_signal(how)
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if child in self.running:
            self.running.remove(child)

    def stop_all(self):
        for child in reversed(list(self.running)):
            self.stop(child, signal.SIGKILL)


def settings(**more):
    """Limits are for strangers; passwords are cheap."""
    env = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG", "TMPDIR")}
    env.update(
        HOST="127.0.0.1", JWT_SECRET="only for this test, and long enough for it", PASSWORD_MEMORY_KIB="64", PASSWORD_PASSES="1",
        DRAIN_DELAY_SECS="0", LIMIT_REGISTRATIONS_PER_ADDRESS="0", LIMIT_REGISTRATIONS_PER_ACCOUNT="0", LIMIT_LOGINS_PER_ADDRESS="0",
        LIMIT_FAILED_LOGINS_PER_ACCOUNT="0", LIMIT_ATTEMPTS_PER_USER="0", LIMIT_ATTEMPTS_PER_ADDRESS="0", WORKER_PENDING_AGE_SECS="5",
    )
    env.update({key: str(value) for key, value in more.items()})
    return env


class Api:
    """An API node and what its clients do."""

    def __init__(self, url):
        self.url = url

    def ready(self):
        return http("GET", f"{self.url}/health/ready")[0] == 200

    def register(self, name):
        body = {"username": name, "email": f"{name}@shop.example", "password": PASSWORD}
        status, _, text = http("POST", f"{self.url}/api/auth/register", body)
        assert status in (200, 201), text
        return self.login(name)

    def login(self, name, password=PASSWORD):
        status, _, text = http("POST", f"{self.url}/api/auth/login", {"username": name, "password": password})
        return json.loads(text)["data"]["token"] if status == 200 else None

    def attempt(self, token, sale=1, **options):
        return http("POST", f"{self.url}/api/flash-sale/attempt/{sale}", token=token, **options)

    def status(self, token, product=1):
        return http("GET", f"{self.url}/api/orders/status/{product}", token=token)

    def listen(self, token):
        """A stream of events; keep what is returned."""
        headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {token}"}
        request = urllib.request.Request(f"{self.url}/api/orders/events", headers=headers)
        return urllib.request.urlopen(request, timeout=30)


class Servers:
    """serve and work on servers."""

    def __init__(self, processes, stock=5, of_nodes=None, **more):
        self.processes = processes
        self.env = os.environ
        self.mark = f"observability_{os.getpid()}"
        self.databases = {self.mark}
        # What API nodes get besides the settings of all.
        self.of_nodes = of_nodes or {}
        redis_port = free_port()
        processes.start("redis", ["redis-server", "--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        self.redis_port = redis_port
        wait_for("Redis", lambda: socket.create_connection(("127.0.0.1", redis_port)).close() is None)
        self.redis = Proxy("127.0.0.1", redis_port)
        self.postgres = Proxy(self.env["POSTGRES_HOST"], int(self.env["POSTGRES_PORT"]))
        self.topic = f"flashsale.{self.mark}"
        self.events_topic = f"flashsale.events.{self.mark}"
        self.settings = settings(
            POSTGRES_HOST="127.0.0.1", POSTGRES_PORT=self.postgres.port, POSTGRES_USER=self.env["POSTGRES_USER"],
            POSTGRES_PASSWORD=self.env["POSTGRES_PASSWORD"], POSTGRES_DB=self.mark, POSTGRES_TLS="disable", REDIS_HOST="127.0.0.1",
            REDIS_PORT=self.redis.port, KAFKA_BROKERS=self.env["KAFKA_BROKERS"], KAFKA_TOPIC_FLASH_SALE_ATTEMPTS=self.topic,
            FLASH_SALE_TOTAL_STOCK=stock, **more, **({"KAFKA_TOPIC_EVENTS": self.events_topic} if "EVENTS_ENABLED" in more else {}),
        )
        processes.run("migrate", [PROGRAM, "migrate"], self.settings)
        processes.run("seed", [PROGRAM, "seed"], self.settings)
        self.api_port, self.worker_port = free_port(), free_port()
        self.api = Api(f"http://127.0.0.1:{self.api_port}")

    def serve(self, **more):
        env = dict(self.settings, PORT=str(self.api_port), **{key: str(value) for key, value in {**self.of_nodes, **more}.items()})
        self.serving = self.processes.start("serve", [PROGRAM, "serve"], env)
        wait_for("serve", self.api.ready)

    def serve_another(self):
        """A second node."""
        port = free_port()
        self.processes.start("serve", [PROGRAM, "serve"], dict(self.settings, PORT=str(port)))
        api = Api(f"http://127.0.0.1:{port}")
        wait_for("another serve", api.ready)
        return api

    def work(self):
        env = dict(self.settings, WORKER_HOST="127.0.0.1", WORKER_PORT=str(self.worker_port))
        self.working = self.processes.start("work", [PROGRAM, "work"], env)
        wait_for("work", lambda: http("GET", f"http://127.0.0.1:{self.worker_port}/health/ready")[0] == 200)

    def work_for_another_shop(self):
        """A worker with a database and a topic of its own, and this system's Redis."""
        port, name = free_port(), f"{self.mark}_other"
        env = dict(self.settings, POSTGRES_DB=name, KAFKA_TOPIC_FLASH_SALE_ATTEMPTS=f"flashsale.{name}", EVENTS_ENABLED="false",
                   WORKER_HOST="127.0.0.1", WORKER_PORT=str(port))
        env.pop("KAFKA_TOPIC_EVENTS", None)
        self.databases.add(name)
        self.processes.run("migrate-other", [PROGRAM, "migrate"], env)
        self.processes.run("seed-other", [PROGRAM, "seed"], env)
        child = self.processes.start("work-other", [PROGRAM, "work"], env)
        wait_for("the other worker", lambda: http("GET", f"http://127.0.0.1:{port}/health")[0] == 200)
        return child

    def targets(self):
        return {"flashsale-api": f"127.0.0.1:{self.api_port}", "flashsale-worker": f"127.0.0.1:{self.worker_port}"}

    def redis_cli(self, *arguments):
        return subprocess.run(["redis-cli", "-p", str(self.redis_port), *arguments], check=True, capture_output=True, text=True).stdout

    def psql_command(self, statement, database=None):
        return ["psql", "-X", "-q", "-t", "-A", "-h", self.env["POSTGRES_HOST"], "-p", self.env["POSTGRES_PORT"],
                "-U", self.env["POSTGRES_USER"], "-d", database or self.mark, "-c", statement]

    def psql(self, statement, database=None):
        env = dict(os.environ, PGPASSWORD=self.env["POSTGRES_PASSWORD"])
        command = self.psql_command(statement, database)
        return subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout.strip()

    def kafka_tool(self, name, *arguments, **options):
        """One of Apache Kafka's own command-line programs."""
        java = ["java", "-Xmx256m", "-cp", f"{self.env['FLASHSALE_KAFKA_LIBS']}/*", name, "--bootstrap-server", self.env["KAFKA_BROKERS"]]
        subprocess.run([*java, *arguments], text=True, check=True, capture_output=True, **options)

    def topic_setting(self, topic, name, value):
        """Changes a setting of a topic."""
        self.kafka_tool("kafka.admin.ConfigCommand", "--alter", "--entity-type", "topics", "--entity-name", topic,
                        "--add-config", f"{name}={value}")

    def delete_records(self, topic):
        """Deletes all records of a topic's three partitions."""
        path = os.path.join(self.processes.folder, "delete.json")
        partitions = [{"topic": topic, "partition": partition, "offset": -1} for partition in range(3)]
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"partitions": partitions, "version": 1}, file)
        self.kafka_tool("org.apache.kafka.tools.DeleteRecordsCommand", "--offset-json-file", path)

    def produce(self, record):
        """Appends a record as another program could, with Apache Kafka's own client."""
        self.kafka_tool("org.apache.kafka.tools.ConsoleProducer", "--topic", self.topic, input=record + "\n")

    def discard_letters(self):
        """Decides about every dead letter that waits for a decision."""
        def command(*arguments):
            done = subprocess.run([PROGRAM, "dead-letters", *arguments], check=True, capture_output=True, text=True, env=self.settings)
            return done.stdout
        letters = re.findall(r"^\d+:\d+", command("list", "--open"), re.MULTILINE)
        if letters:
            command("discard", "--by", "alerts", "--reason", "a fault of a test", *letters)

    def remove(self):
        """The databases. A topic goes with its Kafka."""
        for name in self.databases:
            self.psql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)', "postgres")


class Embedded:
    """serve --embedded, in one process."""

    def __init__(self, processes, stock, **more):
        self.processes = processes
        self.port = free_port()
        self.api = Api(f"http://127.0.0.1:{self.port}")
        env = settings(PORT=self.port, FLASH_SALE_TOTAL_STOCK=stock, FLASHSALE_DATA_DIR=os.path.join(processes.folder, "data"), **more)
        self.serving = processes.start("serve", [PROGRAM, "serve", "--embedded"], env)
        wait_for("serve --embedded", self.api.ready)

    def targets(self):
        return {"flashsale": f"127.0.0.1:{self.port}"}


@contextlib.contextmanager
def on_servers(name, **more):
    """Servers with a worker and an API node. All of it is gone when the block is left."""
    processes, system = Processes(name), None
    try:
        system = Servers(processes, **more)
        system.work()
        system.serve()
        yield system
    finally:
        processes.stop_all()
        if system:
            system.remove()


@contextlib.contextmanager
def embedded(name, **more):
    """An embedded system. It is stopped when the block is left."""
    processes = Processes(name)
    try:
        yield Embedded(processes, **more)
    finally:
        processes.stop_all()


class Prometheus:
    """A Prometheus that looks at the targets once a second."""

    def __init__(self, processes, targets, rules):
        self.port, self.targets = free_port(), len(targets)
        path = os.path.join(processes.folder, "rules.yml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(rules)
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [path],
            "scrape_configs": [{"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in targets.items()],
        }
        path = os.path.join(processes.folder, "prometheus.yml")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file)
        processes.start("prometheus", [
            "prometheus", f"--config.file={path}", f"--storage.tsdb.path={processes.folder}/data", f"--web.listen-address=127.0.0.1:{self.port}",
        ])
        wait_for("Prometheus", lambda: http("GET", f"http://127.0.0.1:{self.port}/-/ready")[0] == 200)

    def query(self, expression):
        """The result of an instant query; fails if Prometheus reports an error."""
        query = urllib.parse.urlencode({"query": expression})
        status, _, text = http("GET", f"http://127.0.0.1:{self.port}/api/v1/query?{query}")
        answer = json.loads(text)
        if status != 200 or answer["status"] != "success":
            raise SystemExit(f"{expression}: {text}")
        return answer["data"]["result"]

    def look_at_all(self):
        """Waits until every target has answered once more: what a counter shows first is no increase."""
        answered = f"count((timestamp(up) > {time.time()}) and (up == 1))"
        wait_for("an answer of every target", lambda: [row["value"][1] for row in self.query(answered)] == [str(self.targets)], 30)

    def firing(self):
        return {alert["metric"]["alertname"] for alert in self.query('ALERTS{alertstate="firing"}')}


def rules():
    with open(os.path.join(ROOT, "config/prometheus/rules.yml"), encoding="utf-8") as file:
        return file.read()
