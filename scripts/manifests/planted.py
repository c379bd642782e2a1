"""Planted errors: each is made in the rendered production overlay and has to be found by the rule that is named, or by the schema."""

import copy


def one(documents, kind, name):
    return next(each for each in documents if each["kind"] == kind and each["metadata"]["name"].startswith(name))


def api(documents):
    return one(documents, "Deployment", "flashsale-api")["spec"]["template"]["spec"]


def container(documents):
    return api(documents)["containers"][0]


def settings(documents):
    return one(documents, "ConfigMap", "flashsale-settings")["data"]


def policy(documents, name):
    return one(documents, "NetworkPolicy", name)["spec"]


PLANTED = [
    ("settings_are_known", "a setting that does not exist", lambda d: settings(d).update(DRAIN_DELAY="5")),
    ("settings_are_known", "a secret as a variable", lambda d: container(d).update(env=[{"name": "JWT_SECRET", "value": "x"}])),
    ("settings_are_known", "a file for a setting that takes none", lambda d: settings(d).update(REDIS_HOST_FILE="/run/secrets/flashsale/x")),
    ("settings_are_known", "another ConfigMap", lambda d: container(d)["envFrom"][0]["configMapRef"].update(name="other")),
    ("settings_are_known", "a command that does not exist", lambda d: container(d).update(args=["server"])),
    ("files_are_mounted", "a secret outside of the volume", lambda d: settings(d).update(JWT_SECRET_FILE="/run/secrets/jwt-secret")),
    ("files_are_mounted", "a volume that does not exist", lambda d: api(d).update(volumes=[])),
    ("secrets_are_few", "the secret of tokens in every process", lambda d: settings(d).update(JWT_SECRET_FILE="/run/secrets/flashsale/jwt-secret")),
    ("secrets_are_few", "the secret of tokens in workers", lambda d: one(d, "Deployment", "flashsale-worker")["spec"]["template"]["spec"]["volumes"][0]["secret"].update(secretName="flashsale-tokens")),
    ("image_agrees", "another user", lambda d: api(d)["securityContext"].update(runAsUser=1000)),
    ("image_agrees", "another port", lambda d: container(d)["ports"][0].update(containerPort=8080)),
    ("image_agrees", "another setting of the port", lambda d: settings(d).update(METRICS_PORT="9101")),
    ("image_agrees", "an image without a tag", lambda d: container(d).update(image="flashsale")),
    ("pods_are_restricted", "a writable root", lambda d: container(d)["securityContext"].update(readOnlyRootFilesystem=False)),
    ("pods_are_restricted", "a capability", lambda d: container(d)["securityContext"].update(capabilities={"drop": ["ALL"], "add": ["NET_ADMIN"]})),
    ("pods_are_restricted", "a mounted token", lambda d: api(d).pop("automountServiceAccountToken")),
    ("pods_are_restricted", "no seccomp profile", lambda d: api(d)["securityContext"].pop("seccompProfile")),
    ("pods_are_restricted", "no limit of memory", lambda d: container(d)["resources"].pop("limits")),
    ("probes_fit", "liveness that asks servers", lambda d: container(d)["livenessProbe"]["httpGet"].update(path="/health/ready")),
    ("probes_fit", "a probe on the port of shoppers", lambda d: container(d)["readinessProbe"]["httpGet"].update(port="http")),
    ("probes_fit", "a startup that is cut off", lambda d: container(d)["startupProbe"].update(failureThreshold=30)),
    ("ends_in_time", "a drain that is killed", lambda d: settings(d).update(DRAIN_DELAY_SECS="30")),
    ("ends_in_time", "a grace period of Kubernetes' default", lambda d: api(d).pop("terminationGracePeriodSeconds")),
    ("selectors_match", "a Service of nothing", lambda d: one(d, "Service", "flashsale-api")["spec"]["selector"].update(tier="web")),
    ("selectors_match", "a budget of nothing", lambda d: one(d, "PodDisruptionBudget", "flashsale-api")["spec"]["selector"].update(matchLabels={"app": "x"})),
    ("selectors_match", "a policy of a port that does not exist", lambda d: policy(d, "flashsale-metrics")["ingress"][0]["ports"][0].update(port="prometheus")),
    ("pods_are_isolated", "no policy that denies", lambda d: d.remove(one(d, "NetworkPolicy", "flashsale-deny"))),
    ("pods_are_isolated", "no names", lambda d: d.remove(one(d, "NetworkPolicy", "flashsale-dns"))),
    ("pods_are_isolated", "a broker behind a closed port", lambda d: settings(d).update(KAFKA_BROKERS="kafka:9094")),
    ("pods_are_isolated", "a pooler behind a closed port", lambda d: settings(d).update(POSTGRES_PORT="6432")),
    ("scaling_fits", "more workers than partitions", lambda d: settings(d).update(KAFKA_PARTITIONS="3")),
    ("scaling_fits", "an autoscaler of nothing", lambda d: one(d, "HorizontalPodAutoscaler", "flashsale-api")["spec"]["scaleTargetRef"].update(name="api")),
    ("scaling_fits", "replicas beside an autoscaler", lambda d: one(d, "Deployment", "flashsale-api")["spec"].update(replicas=3)),
    ("schema", "a field that does not exist", lambda d: container(d).update(readOnly=True)),
    ("schema", "a number in the place of a text", lambda d: container(d).update(image=5)),
    ("schema", "an object without what it needs", lambda d: one(d, "Service", "flashsale-api")["spec"]["ports"][0].pop("port")),
]


def not_found(documents, find):
    """The planted errors that `find(documents, rule)` does not find."""
    for rule, what, plant in PLANTED:
        broken = copy.deepcopy(documents)
        plant(broken)
        if not find(broken, rule):
            yield f"{what} is not found by {rule}"
