"""The components and the overlay `prod`: each builds, fits the real schemas, and names only what the code has."""

import json
import os
import re
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import ValidationError
from kubernetes_validate import ValidationError as BuiltinError  # type: ignore[import-untyped]

from support.kubernetes_schemas import MINORS, validate
from support.promql import check, known_metrics, rules
from symbiont.common.security.files import Tls
from symbiont.common.settings import PREFIX, ServiceSettings, split_address
from symbiont.training.settings import TrainingSettings

ROOT = Path(__file__).parents[2]
SERVICES = ("tokenization", "training", "inference")
COMPONENTS = tuple(sorted(path.parent.name for path in ROOT.glob("k8s/components/*/kustomization.yaml")))
# Of two that set the same, one is chosen.
TOGETHER = tuple(name for name in COMPONENTS if name not in ("postgresql-external", "ray"))
ON_RAY = tuple(name for name in (*TOGETHER, "ray") if name != "kubernetes-executor")
CHOICES = {**{name: (name,) for name in COMPONENTS}, "all": TOGETHER, "all on ray": ON_RAY, "prod": ()}
KINDS = ("Deployment", "StatefulSet")
Document = dict[str, Any]
ReadSettings = Callable[[str, dict[str, str]], ServiceSettings]
Build = Callable[[str], list[Document]]


@pytest.fixture(scope="module")
def build(render: Callable[[Path], list[Document]], tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Renders the base with a choice of components."""
    home = tmp_path_factory.mktemp("overlays")

    def built(choice: str) -> list[Document]:
        if choice == "prod":
            return deepcopy(render(ROOT / "k8s/overlays/prod"))
        folder = home / choice
        folder.mkdir(exist_ok=True)
        k8s = os.path.relpath(ROOT / "k8s", folder.resolve())
        components = [f"{k8s}/components/{name}" for name in CHOICES[choice]]
        (folder / "kustomization.yaml").write_text(
            yaml.safe_dump({"resources": [f"{k8s}/base"], "components": components})
        )
        return deepcopy(render(folder))

    return built


@pytest.fixture(params=CHOICES)
def documents(request: pytest.FixtureRequest, build: Build) -> list[Document]:
    return build(request.param)


@pytest.fixture
def prod(build: Build) -> list[Document]:
    return build("prod")


def of_kind(documents: list[Document], *kinds: str) -> dict[str, Document]:
    return {d["metadata"]["name"]: d for d in documents if d["kind"] in kinds}


def pods(documents: list[Document]) -> dict[str, Document]:
    return {name: d["spec"]["template"]["spec"] for name, d in of_kind(documents, *KINDS).items()}


def environment_of(documents: list[Document], name: str) -> dict[str, str]:
    """What a container's variables are: those of Secrets that hold a setting count as their names."""
    (container,) = pods(documents)[name]["containers"]
    maps = of_kind(documents, "ConfigMap")
    environment: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        if "configMapRef" in source:
            environment |= maps[source["configMapRef"]["name"]]["data"]
    own = {entry["name"]: entry.get("value", "from-a-secret") for entry in container.get("env", ())}
    return environment | {key: value for key, value in own.items() if key.startswith(PREFIX)}


def check_settings(documents: list[Document], read_settings: ReadSettings) -> None:
    for service in SERVICES:
        read_settings(service, environment_of(documents, service))


def queries_of(documents: list[Document]) -> list[str]:
    scaled, rules = of_kind(documents, "ScaledObject").values(), of_kind(documents, "PrometheusRule").values()
    found = [trigger["metadata"]["query"] for one in scaled for trigger in one["spec"]["triggers"]]
    return found + [rule["expr"] for one in rules for group in one["spec"]["groups"] for rule in group["rules"]]


@cache
def fits(document: str, minor: str) -> None:
    """Most objects are the same in every choice: once is enough."""
    validate(json.loads(document), minor)


def label(name: str) -> Document:
    return {"matchLabels": {"app.kubernetes.io/name": name}}


@pytest.mark.parametrize("minor", MINORS)
def test_every_object_fits_the_schemas(documents: list[Document], minor: str) -> None:
    for document in documents:
        fits(json.dumps(document), minor)


def test_objects_are_in_the_namespace_and_part_of_the_suite(documents: list[Document]) -> None:
    for document in documents:
        metadata = document["metadata"]
        assert metadata["labels"]["app.kubernetes.io/part-of"] == "symbiont"
        assert document["kind"] == "Namespace" or metadata["namespace"] == "symbiont"
    keys = [(d["kind"], d["metadata"]["name"]) for d in documents]
    assert len(keys) == len(set(keys))


def test_every_setting_is_a_field(documents: list[Document], read_settings: ReadSettings) -> None:
    check_settings(documents, read_settings)


def test_every_pod_is_restricted_and_asks_for_what_it_needs(documents: list[Document]) -> None:
    for pod in pods(documents).values():
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()


def test_every_volume_is_mounted(documents: list[Document]) -> None:
    for name, pod in pods(documents).items():
        mounted = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
        claims = of_kind(documents, *KINDS)[name]["spec"].get("volumeClaimTemplates", ())
        assert mounted == {v["name"] for v in pod["volumes"]} | {c["metadata"]["name"] for c in claims}


def test_queries_name_metrics_and_labels_that_exist(build: Build) -> None:
    known = known_metrics()
    queries = queries_of(build("autoscaling")) + queries_of(build("monitoring"))
    assert len(queries) == 4 + len(rules())
    for query in queries:
        assert check(query, known)


def test_jobs_that_alerts_name_are_the_parts(build: Build) -> None:
    documents = build("monitoring")
    (monitor,) = of_kind(documents, "ServiceMonitor").values()
    label_of_job = monitor["spec"]["jobLabel"]
    jobs = {service["metadata"]["labels"][label_of_job] for service in of_kind(documents, "Service").values()}
    named = {job for query in queries_of(documents) for job in re.findall(r'job="(\w+)"', query)}
    assert named == jobs


def test_the_monitor_finds_the_metrics_of_every_part(build: Build) -> None:
    documents = build("monitoring")
    (monitor,) = of_kind(documents, "ServiceMonitor").values()
    (endpoint,) = monitor["spec"]["endpoints"]
    for service in of_kind(documents, "Service").values():
        assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}


def test_the_dashboards_are_those_of_grafana(build: Build) -> None:
    maps = of_kind(build("monitoring"), "ConfigMap").values()
    found = [d["data"] for d in maps if d["metadata"]["labels"].get("grafana_dashboard") == "1"]
    files = [{path.name: path.read_text()} for path in (ROOT / "deploy/grafana/dashboards").glob("*.json")]
    assert sorted(found, key=sorted) == sorted(files, key=sorted)
    # What `kubectl apply` writes beside an object, a copy of it, may have 256 KiB.
    assert max(len(json.dumps(data)) for data in found) < 200 << 10


def test_what_is_scaled_has_no_number_of_its_own(build: Build) -> None:
    documents = build("autoscaling")
    for name, scaled in of_kind(documents, "ScaledObject").items():
        target = scaled["spec"]["scaleTargetRef"]
        assert target == {"kind": "Deployment", "name": name}
        assert "replicas" not in of_kind(documents, "Deployment")[name]["spec"]
        assert scaled["spec"]["minReplicaCount"] <= scaled["spec"]["fallback"]["replicas"]


@pytest.mark.parametrize("choice", ["autoscaling", "triton-autoscaling"])
def test_a_fallback_has_a_trigger_that_it_acts_for(build: Build, choice: str) -> None:
    """KEDA from 2.17 on refuses the object otherwise; before, there is none."""
    for scaled in of_kind(build(choice), "ScaledObject").values():
        if "fallback" in scaled["spec"]:
            assert "AverageValue" in [trigger.get("metricType") for trigger in scaled["spec"]["triggers"]]


def named(selector: Document) -> str:
    """The part that a selector means; pods of an operator may not keep the suite's own label."""
    labels = selector["matchLabels"]
    return str(labels.get("app.kubernetes.io/name") or labels["symbiont.dev/part"])


def callers(policy: Document) -> set[str]:
    sources = [source for rule in policy["spec"]["ingress"] for source in rule.get("from", ())]
    return {named(s["podSelector"]) for s in sources if "podSelector" in s}


def callees(policy: Document) -> set[tuple[str, int]]:
    return {
        (named(peer["podSelector"]), port["port"])
        for rule in policy["spec"].get("egress", ())
        for peer in rule["to"]
        for port in rule.get("ports", ())
    }


def test_policies_allow_the_addresses_of_the_settings_and_nothing_else(build: Build) -> None:
    documents = build("all on ray")
    policies = of_kind(documents, "NetworkPolicy")
    for service in SERVICES:
        said = {
            tuple(value.removeprefix("dns:///").rpartition(":")[::2])
            for key, value in environment_of(documents, service).items()
            if key.endswith("_ADDRESS") and not value.startswith(("0.0.0.0", "http://", f"{service}:"))
        }
        peers = {(host, int(port)) for host, port in said}
        if service == "training":
            # Whose addresses are URLs.
            peers |= {("postgresql", 5432), ("ray", 8265)}
        assert callees(policies[service]) == peers
        for peer, _ in peers:
            assert service in callers(policies[peer])
    assert policies["nothing"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert callees(policies["worker"]) == {("training", 50052), ("tokenization", 50051)}
    assert callers(policies["postgresql"]) == {"training"}
    assert callers(policies["triton"]) == {"inference"}


def test_ports_of_policies_are_ports_of_pods(build: Build) -> None:
    documents = build("all")
    ports = {name: {p["containerPort"] for p in pod["containers"][0]["ports"]} for name, pod in pods(documents).items()}
    for policy in of_kind(documents, "NetworkPolicy").values():
        if policy["metadata"]["name"] in ("names", "artifacts", "training-outside", "metrics", "traces"):
            continue
        assert all(port in ports[name] for name, port in callees(policy) if name != "ray")


def selects(selector: Document, labels: dict[str, str]) -> bool:
    expressions = selector.get("matchExpressions", ())
    assert all(expression["operator"] == "In" for expression in expressions)
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(expression["key"]) in expression["values"] for expression in expressions
    )


def test_spans_of_every_pod_may_leave(build: Build) -> None:
    documents = build("all on ray")
    (cluster,) = of_kind(documents, "RayCluster").values()
    groups = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    labels = {f"ray {number}": group["template"]["metadata"]["labels"] for number, group in enumerate(groups)}
    for part in (*SERVICES, "triton"):
        labels[part] = of_kind(documents, *KINDS)[part]["spec"]["template"]["metadata"]["labels"]
    host, port = split_address(environment_of(documents, "training")["SYMBIONT_TRACING_ENDPOINT"])
    collector = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": host.rpartition(".")[2]}}}
    letting = [
        policy["spec"]["podSelector"]
        for policy in of_kind(documents, "NetworkPolicy").values()
        for rule in policy["spec"].get("egress", ())
        if collector in rule.get("to", ()) and {"port": port} in rule["ports"]
    ]
    for name, own in labels.items():
        assert any(selects(selector, own) for selector in letting), name


@pytest.mark.parametrize("part", [*SERVICES, "triton"])
def test_with_s3_each_pod_has_the_keys_and_a_cache_of_its_own(part: str, build: Build) -> None:
    documents = build("s3")
    assert not of_kind(documents, "PersistentVolumeClaim")
    pod = pods(documents)[part]
    (container,) = pod["containers"]
    assert {"secretRef": {"name": "artifacts-s3"}} in container["envFrom"]
    environment = environment_of(documents, part)
    assert part == "triton" or environment["SYMBIONT_ARTIFACT_ROOT"].startswith("s3://")
    (mount,) = (m for m in container["volumeMounts"] if m["mountPath"] == environment["SYMBIONT_ARTIFACT_CACHE"])
    assert not mount.get("readOnly")
    assert "emptyDir" in next(v for v in pod["volumes"] if v["name"] == mount["name"])


def test_keys_of_datasets_are_where_the_setting_says(build: Build) -> None:
    documents = build("dataset-keys")
    pod = pods(documents)["training"]
    (mount,) = (m for m in pod["containers"][0]["volumeMounts"] if m["name"] == "dataset-keys")
    assert mount["mountPath"] == environment_of(documents, "training")["SYMBIONT_DATASET_KEYS"]
    compose = yaml.safe_load((ROOT / "deploy/compose.dataset-keys.yaml").read_text())["services"]["training"]
    assert compose["environment"] == {"SYMBIONT_DATASET_KEYS": mount["mountPath"]}
    assert compose["volumes"] == [f"./dataset-keys:{mount['mountPath']}:ro"]


def mounted(documents: list[Document], part: str, file: str) -> Document:
    """Returns the volume that a file of a container lies on."""
    pod = pods(documents)[part]
    (mount,) = (m for m in pod["containers"][0]["volumeMounts"] if m["mountPath"] == str(Path(file).parent))
    return next(volume for volume in pod["volumes"] if volume["name"] == mount["name"])


def test_the_signing_key_is_in_no_pod_but_trainings(build: Build) -> None:
    documents = build("signed")
    training = environment_of(documents, "training")
    secret = mounted(documents, "training", training["SYMBIONT_SIGNING_KEY"])["secret"]
    assert secret == {"secretName": "signing", "defaultMode": 0o440}
    for part in ("training", "inference"):
        said = environment_of(documents, part)
        assert said["SYMBIONT_REQUIRE_SIGNATURES"] == "true"
        assert mounted(documents, part, said["SYMBIONT_TRUSTED_KEYS"])["configMap"] == {"name": "trusted-keys"}
    holders = {
        name
        for name, pod in pods(documents).items()
        for v in pod["volumes"]
        if v.get("secret", {}).get("secretName") == "signing"
    }
    assert holders == {"training"}


@pytest.mark.parametrize("choice", ["sealed", "all", "all on ray"])
def test_every_part_that_reads_artifacts_has_the_master_key(choice: str, build: Build) -> None:
    documents = build(choice)
    for part in (*SERVICES, "triton"):
        said = environment_of(documents, part)
        assert (said["SYMBIONT_ENCRYPTION"], said["SYMBIONT_MASTER_KEY"]) == ("on", "vault:transit/symbiont")
    for part in SERVICES:
        assert {"secretRef": {"name": "vault"}} in pods(documents)[part]["containers"][0]["envFrom"]
    (container,) = pods(documents)["triton"]["containers"]
    keys = {e["name"]: e["valueFrom"]["secretKeyRef"]["key"] for e in container["env"] if "valueFrom" in e}
    assert all(name == key for name, key in keys.items())
    assert {"VAULT_ADDR", "VAULT_TOKEN"} <= keys.keys()
    if choice != "sealed":
        # What another component says there stands beside it.
        assert environment_of(documents, "triton")["SYMBIONT_ARTIFACT_CACHE"]


def test_the_audit_log_of_all_services_is_on_its_own_volume(build: Build) -> None:
    documents = build("audit")
    for part in SERVICES:
        root = environment_of(documents, part)["SYMBIONT_AUDIT_ROOT"]
        assert mounted(documents, part, f"{root}/x") == {
            "name": "audit",
            "persistentVolumeClaim": {"claimName": "audit"},
        }
    (claim,) = (c for n, c in of_kind(documents, "PersistentVolumeClaim").items() if n == "audit")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_a_ray_cluster_is_what_the_controller_asks(build: Build, version: str, read_settings: ReadSettings) -> None:
    documents = build("ray")
    (cluster,) = of_kind(documents, "RayCluster").values()
    head, *nodes = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    for group in (head, *nodes):
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        training = pods(documents)["training"]
        assert container["image"] == f"symbiont/ray:{version}"
        assert pod["securityContext"] == training["securityContext"]
        assert container["securityContext"] == training["containers"][0]["securityContext"]
        assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
        assert {"name": "tls", "secret": {"secretName": "worker-tls", "defaultMode": 0o440}} in pod["volumes"]
        files = {e["name"]: e["value"] for e in container["env"] if e["name"].startswith("SYMBIONT_TLS_")}
        mounted = (Path("/etc/symbiont/tls") / name for name in ("ca.crt", "tls.crt", "tls.key"))
        assert Tls.from_environment(files) == Tls(*mounted)
        assert "/etc/symbiont/tls" in {m["mountPath"] for m in container["volumeMounts"]}
        # Of artifacts in S3: not in /tmp, which is too small for it.
        (cache,) = (e["value"] for e in container["env"] if e["name"] == "SYMBIONT_ARTIFACT_CACHE")
        assert {"name": "artifacts", "mountPath": cache} in container["volumeMounts"]
        token = next(entry for entry in container["env"] if entry["name"] == "RAY_AUTH_TOKEN")
        assert token["valueFrom"]["secretKeyRef"] == {"name": "ray", "key": "SYMBIONT_RAY_TOKEN"}
    assert {"secretRef": {"name": "ray"}} in training["containers"][0]["envFrom"]
    said = environment_of(documents, "training") | {"SYMBIONT_RAY_TOKEN": "t"}
    assert isinstance(read_settings("training", said), TrainingSettings)
    ports = {p["name"]: p["containerPort"] for p in head["template"]["spec"]["containers"][0]["ports"]}
    # KubeRay's name of the Service of a head.
    assert said["SYMBIONT_RAY_ADDRESS"] == f"http://{cluster['metadata']['name']}-head-svc:{ports['dashboard']}"
    room = sum(int(node["rayStartParams"]["num-cpus"]) * node["replicas"] for node in nodes)
    assert int(said["SYMBIONT_MAX_CONCURRENT_JOBS"]) * float(said["SYMBIONT_CPUS_PER_RANK"]) == room
    assert head["rayStartParams"]["num-cpus"] == "0"
    for node in nodes:
        (container,) = node["template"]["spec"]["containers"]
        assert container["resources"]["requests"]["cpu"] == node["rayStartParams"]["num-cpus"]


def test_one_ray_in_the_image_the_tests_and_the_cluster(build: Build) -> None:
    (cluster,) = of_kind(build("ray"), "RayCluster").values()
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())
    assert cluster["spec"]["rayVersion"] == pinned["ray"]
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    (tested,) = re.findall(r"^RAY_PACKAGES := (.*)$", makefile, flags=re.MULTILINE)
    assert dict(package.split("==") for package in tested.split()).items() <= pinned.items()


def test_a_gpu_is_asked_for_where_hosts_compute(build: Build) -> None:
    documents = build("gpu")
    (container,) = pods(documents)["triton"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert environment_of(documents, "inference")["SYMBIONT_HOST_DEVICE"] == "cuda"


def test_postgresql_is_reached_at_its_service(build: Build) -> None:
    documents = build("postgresql")
    url = environment_of(documents, "training")["SYMBIONT_DATABASE_URL"]
    (port,) = of_kind(documents, "Service")["postgresql"]["spec"]["ports"]
    assert url == f"postgresql://symbiont:$(POSTGRES_PASSWORD)@postgresql:{port['port']}/symbiont"
    names = [entry["name"] for entry in pods(documents)["training"]["containers"][0]["env"]]
    # A variable is put in only where it was defined before.
    assert names == ["POSTGRES_PASSWORD", "SYMBIONT_DATABASE_URL", "SYMBIONT_WORKER_KEY"]


def test_prod_is_spread_and_survives_a_drain(prod: list[Document]) -> None:
    budgets = of_kind(prod, "PodDisruptionBudget")
    assert budgets.keys() == {*SERVICES, "triton"}
    for name in budgets:
        assert budgets[name]["spec"]["selector"] == label(name)
        spread = pods(prod)[name]["topologySpreadConstraints"]
        assert [s["topologyKey"] for s in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        assert all(s["labelSelector"] == label(name) for s in spread)
    least = {name: s["spec"]["minReplicaCount"] for name, s in of_kind(prod, "ScaledObject").items()}
    assert least == {"tokenization": 3, "inference": 3, "triton": 2}


def test_prod_has_two_controllers_because_it_has_postgresql(prod: list[Document], read_settings: ReadSettings) -> None:
    assert of_kind(prod, "StatefulSet")["training"]["spec"]["replicas"] == 2
    assert environment_of(prod, "training")["SYMBIONT_EXECUTOR"] == "kubernetes"
    variable, key = pods(prod)["training"]["containers"][0]["env"]
    # One for both: a worker reports to either.
    assert key == {"name": "SYMBIONT_WORKER_KEY", "value": "/etc/symbiont/passes/key"}
    assert variable == {
        "name": "SYMBIONT_DATABASE_URL",
        "valueFrom": {"secretKeyRef": {"name": "database", "key": "url"}},
    }


def test_secrets_are_not_in_the_manifests(documents: list[Document]) -> None:
    assert not of_kind(documents, "Secret")


# That the checks above can fail.


def test_a_misspelt_setting_is_found(prod: list[Document], read_settings: ReadSettings) -> None:
    name = next(n for n in of_kind(prod, "ConfigMap") if n.startswith("inference-"))
    of_kind(prod, "ConfigMap")[name]["data"]["SYMBIONT_HOST_DEVISE"] = "cuda"
    with pytest.raises(AssertionError, match="SYMBIONT_HOST_DEVISE"):
        check_settings(prod, read_settings)


@pytest.mark.parametrize(
    "query", ["sum(symbiont_inference_queue_token)", 'rate(symbiont_inference_wait_seconds_bucket{prio="x"}[2m])']
)
def test_a_misspelt_metric_or_label_is_found(query: str) -> None:
    with pytest.raises(AssertionError, match=r"nothing has the metric|has no label"):
        check(query, known_metrics())


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("ScaledObject", "minReplicas"),
        ("ServiceMonitor", "endpoint"),
        ("NetworkPolicy", "ingres"),
        ("RayCluster", "workerGroups"),
    ],
)
def test_an_unknown_field_is_found(kind: str, field: str, build: Build) -> None:
    document = next(iter(of_kind(build("all on ray"), kind).values()))
    document["spec"][field] = []
    with pytest.raises((ValidationError, BuiltinError)):
        validate(document)
