"""Rules that each rendered overlay must satisfy beyond the schemas of Kubernetes. Each yields one text for every breach."""

import posixpath

# Where kustomize, Kubernetes and Ingress have objects that other objects name.
WORKLOADS = {"Deployment", "StatefulSet", "Job"}
# After SHUTDOWN_TIMEOUT_SECS, the time in which `serve` appends what was accepted.
DRAIN_SECS = 5
# Between the longest end of a process and SIGKILL.
RESERVE_SECS = 5


class Workload:
    """A pod template with the settings that its containers get."""

    def __init__(self, document, documents):
        self.name = f"{document['kind']} {document['metadata']['name']}"
        self.kind = document["kind"]
        self.spec = document["spec"]
        self.pod = self.spec["template"]["spec"]
        self.labels = self.spec["template"]["metadata"].get("labels", {})
        self.container = self.pod["containers"][0]
        self.ports = {port["name"]: port["containerPort"] for port in self.container.get("ports", [])}
        maps = {one["metadata"]["name"]: one["data"] for one in documents if one["kind"] == "ConfigMap"}
        self.missing_maps = []
        self.settings = {}
        for source in self.container.get("envFrom", []):
            name = source.get("configMapRef", {}).get("name")
            if name not in maps:
                self.missing_maps.append(name)
            self.settings.update(maps.get(name, {}))
        self.settings.update({one["name"]: one.get("value") for one in self.container.get("env", [])})

    @property
    def command(self):
        return (self.container.get("args") or [""])[0]

    def setting(self, name, facts):
        return self.settings.get(name, facts.defaults[name])


def workloads(documents):
    return [Workload(one, documents) for one in documents if one["kind"] in WORKLOADS]


def settings_are_known(documents, facts):
    for one in workloads(documents):
        for name in one.missing_maps:
            yield f"{one.name}: there is no ConfigMap {name}"
        for name in one.settings:
            if not facts.is_setting(name):
                yield f"{one.name}: {name} is no setting"
            if name in facts.secrets:
                yield f"{one.name}: {name} is a secret: mount a file and set {name}_FILE"
        if one.command not in facts.commands:
            yield f"{one.name}: flashsale has no command {one.command!r}"


def files_are_mounted(documents, facts):
    for one in workloads(documents):
        volumes = {volume["name"] for volume in one.pod.get("volumes", [])}
        volumes |= {claim["metadata"]["name"] for claim in one.spec.get("volumeClaimTemplates", [])}
        mounts = {mount["mountPath"]: mount["name"] for mount in one.container.get("volumeMounts", [])}
        for path, volume in mounts.items():
            if volume not in volumes:
                yield f"{one.name}: {path} is of a volume {volume} that the pod does not have"
        for name, value in one.settings.items():
            if name.endswith(("_FILE", "_DIR")) and posixpath.dirname(value) not in mounts:
                yield f"{one.name}: {name} is {value}, where nothing is mounted"


def secrets_are_few(documents, facts):
    """A process has the secrets that it uses: tokens are signed by `serve` alone, and `migrate` does not connect to Redis."""
    for one in workloads(documents):
        own = {"POSTGRES_PASSWORD_FILE", "KAFKA_SASL_PASSWORD_FILE"}
        own |= {"REDIS_PASSWORD_FILE", "REDIS_SENTINEL_PASSWORD_FILE"} if one.command != "migrate" else set()
        own |= {"JWT_SECRET_FILE", "JWT_SECRET_PREVIOUS_FILE"} if one.command == "serve" else set()
        for name in one.settings:
            if name.removesuffix("_FILE") in facts.secrets and name not in own:
                yield f"{one.name}: {one.command} does not use {name}"
        names = {volume["secret"]["secretName"] for volume in one.pod.get("volumes", []) if "secret" in volume}
        if "flashsale-tokens" in names and one.command != "serve":
            yield f"{one.name}: the secret of tokens is mounted"


def image_agrees(documents, facts):
    for one in workloads(documents):
        context = one.pod.get("securityContext", {})
        if (context.get("runAsUser"), context.get("runAsGroup")) != (facts.user, facts.group):
            yield f"{one.name}: the image's user is {facts.user}:{facts.group}"
        if one.command == "serve":
            if one.ports.get("http") not in facts.ports:
                yield f"{one.name}: the image exposes {sorted(facts.ports)}"
            wanted = {"http": "PORT", "metrics": "METRICS_PORT"}
        else:
            wanted = {"metrics": "WORKER_PORT"} if one.command == "work" else {}
        for port, setting in wanted.items():
            if str(one.ports.get(port)) != one.setting(setting, facts):
                yield f"{one.name}: {setting} is {one.setting(setting, facts)}, its port {port} is {one.ports.get(port)}"
        images = {container["image"] for container in one.pod["containers"]}
        for image in images:
            if ":" not in image.rpartition("/")[2] and "@" not in image:
                yield f"{one.name}: the image {image} has no tag"


def pods_are_restricted(documents, facts):
    for one in workloads(documents):
        if one.pod.get("automountServiceAccountToken") is not False:
            yield f"{one.name}: the token of its service account is mounted"
        context = one.pod.get("securityContext", {})
        if context.get("runAsNonRoot") is not True or context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{one.name}: runAsNonRoot and seccompProfile"
        for container in one.pod["containers"] + one.pod.get("initContainers", []):
            own = container.get("securityContext", {})
            if own.get("allowPrivilegeEscalation") is not False or own.get("readOnlyRootFilesystem") is not True:
                yield f"{one.name}: allowPrivilegeEscalation and readOnlyRootFilesystem"
            if own.get("capabilities") != {"drop": ["ALL"]}:
                yield f"{one.name}: capabilities are not dropped"
            resources = container.get("resources", {})
            if {"cpu", "memory"} - set(resources.get("requests", {})) or "memory" not in resources.get("limits", {}):
                yield f"{one.name}: requests of cpu and memory, and a limit of memory, are wanted"


def probes_fit(documents, facts):
    for one in workloads(documents):
        if one.command not in {"serve", "work"}:
            continue
        paths = {"startupProbe": "/health", "livenessProbe": "/health", "readinessProbe": "/health/ready"}
        for probe, path in paths.items():
            get = one.container.get(probe, {}).get("httpGet", {})
            if get.get("path") != path or get.get("port") != "metrics" or "metrics" not in one.ports:
                yield f"{one.name}: {probe} is not of {path} on the port metrics"
        startup = one.container.get("startupProbe", {})
        budget = startup.get("periodSeconds", 10) * startup.get("failureThreshold", 3)
        # Of a data file there is no server to wait for.
        waits = 0 if "--embedded" in one.container["args"] else int(one.setting("STARTUP_TIMEOUT_SECS", facts))
        if budget <= waits + 30:
            yield f"{one.name}: its startupProbe ends it after {budget} s, while it waits {waits} s for its servers"
        if one.kind == "Deployment" and one.spec.get("progressDeadlineSeconds", 600) <= budget:
            yield f"{one.name}: progressDeadlineSeconds must be above the {budget} s of its startupProbe"


def ends_in_time(documents, facts):
    for one in workloads(documents):
        if one.command not in {"serve", "work"}:
            continue
        longest = int(one.setting("SHUTDOWN_TIMEOUT_SECS", facts))
        if one.command == "serve":
            longest += int(one.setting("DRAIN_DELAY_SECS", facts)) + DRAIN_SECS
        grace = one.pod.get("terminationGracePeriodSeconds", 30)
        if grace < longest + RESERVE_SECS:
            yield f"{one.name}: it is killed after {grace} s and takes up to {longest} s to end"


def selects(selector, labels):
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for one in selector.get("matchExpressions", []):
        if one["operator"] != "In" or labels.get(one["key"]) not in one["values"]:
            return False
    return True


def selectors_match(documents, facts):
    pods = workloads(documents)
    for one in documents:
        name, spec = f"{one['kind']} {one['metadata']['name']}", one.get("spec", {})
        if one["kind"] == "Service":
            selected = [pod for pod in pods if selects({"matchLabels": spec["selector"]}, pod.labels)]
            ports = [port["targetPort"] for port in spec["ports"]]
        elif one["kind"] == "PodDisruptionBudget":
            selected, ports = [pod for pod in pods if selects(spec["selector"], pod.labels)], []
        elif one["kind"] == "NetworkPolicy":
            selected = [pod for pod in pods if selects(spec["podSelector"], pod.labels)]
            ports = [port["port"] for rule in spec.get("ingress", []) for port in rule.get("ports", [])]
        else:
            continue
        if not selected:
            yield f"{name} selects no pod"
        if any(isinstance(port, str) and all(port not in pod.ports for pod in selected) for port in ports):
            yield f"{name}: its pods have no port of one of the names {ports}"
    for pod in pods:
        if pod.kind != "Job" and not selects(pod.spec["selector"], pod.labels):
            yield f"{pod.name} does not select its own pods"
        for spread in pod.pod.get("topologySpreadConstraints", []):
            if not selects(spread["labelSelector"], pod.labels):
                yield f"{pod.name}: a topologySpreadConstraint counts other pods"


def pods_are_isolated(documents, facts):
    policies = [one["spec"] for one in documents if one["kind"] == "NetworkPolicy"]
    for pod in workloads(documents):
        own = [policy for policy in policies if selects(policy["podSelector"], pod.labels)]
        denies = [policy for policy in own if not policy.get("ingress") and not policy.get("egress")]
        if not any(set(policy["policyTypes"]) == {"Ingress", "Egress"} for policy in denies):
            yield f"{pod.name}: no policy denies what is not allowed"
        allowed = {port["port"] for policy in own for rule in policy.get("egress", []) for port in rule.get("ports", [])}
        if 53 not in allowed:
            yield f"{pod.name}: names cannot be looked up"
        if "--embedded" in pod.container.get("args", []):
            continue
        servers = {"POSTGRES_PORT": None, "REDIS_PORT": None}
        for setting in servers:
            port = int(pod.setting(setting, facts)) if setting in pod.settings or setting != "POSTGRES_PORT" else 5432
            if port not in allowed and not (setting == "REDIS_PORT" and pod.command == "migrate"):
                yield f"{pod.name}: {setting} {port} is not reached"
        for broker in pod.settings.get("KAFKA_BROKERS", "").split(","):
            port = int(broker.rpartition(":")[2]) if ":" in broker else 9092
            if port not in allowed:
                yield f"{pod.name}: the broker {broker} is not reached"


def scaling_fits(documents, facts):
    pods = {pod.name: pod for pod in workloads(documents)}
    scaled = set()
    for one in documents:
        if one["kind"] != "HorizontalPodAutoscaler":
            continue
        target = one["spec"]["scaleTargetRef"]
        pod = pods.get(f"{target['kind']} {target['name']}")
        if pod is None:
            yield f"{one['metadata']['name']} scales {target['name']}, which does not exist"
            continue
        scaled.add(pod.name)
        if "replicas" in pod.spec:
            yield f"{pod.name}: its replicas would be set back at each deployment; they are the autoscaler's"
        partitions = int(pod.setting("KAFKA_PARTITIONS", facts))
        if pod.command == "work" and one["spec"]["maxReplicas"] > partitions:
            yield f"{pod.name}: more workers than {partitions} partitions"
    for pod in pods.values():
        if pod.kind == "Deployment" and pod.name not in scaled:
            yield f"{pod.name}: nothing scales it"


RULES = [
    settings_are_known,
    files_are_mounted,
    secrets_are_few,
    image_agrees,
    pods_are_restricted,
    probes_fit,
    ends_in_time,
    selectors_match,
    pods_are_isolated,
    scaling_fits,
]
