"""The Kubernetes manifests: they render, fit the real schemas, and say what the code's own settings say."""

import re
from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath
from shutil import copytree
from typing import Any

import pytest
import yaml

from support.kubernetes_schemas import validate
from symbiont.common.health import LIVE
from symbiont.common.settings import ServiceSettings, split_address

ROOT = Path(__file__).parents[2]
PARTS = ("tokenization", "training", "inference", "triton")
# The suite without components; test_components.py has those, and the overlay that is made of them.
TARGETS = ("base", "overlays/dev")
# The oldest minor that knows the preStop sleep without a feature gate, and the newest whose schemas can be had.
KUBERNETES = ("1.30", "1.37")
WORKLOADS = ("Deployment", "StatefulSet")
SECONDS_TO_SPARE = 10

Document = dict[str, Any]
Find = Callable[..., Document]


@pytest.fixture(params=TARGETS)
def documents(request: pytest.FixtureRequest, render: Callable[[Path], list[Document]]) -> list[Document]:
    return render(ROOT / "k8s" / request.param)


@pytest.fixture
def find(documents: list[Document]) -> Find:
    return partial(pick, documents)


@pytest.fixture(params=PARTS)
def part(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def workload(part: str, find: Find) -> Document:
    return find(part, *WORKLOADS)


@pytest.fixture
def pod(workload: Document) -> Document:
    spec: Document = workload["spec"]["template"]["spec"]
    return spec


@pytest.fixture
def container(workload: Document) -> Document:
    return container_of(workload)


def pick(documents: list[Document], name: str, *kinds: str) -> Document:
    """Returns the one document of that name and of one of the kinds."""
    found = [d for d in documents if d["kind"] in kinds and d["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} documents of kind {kinds} are named {name}"
    return found[0]


def container_of(workload: Document) -> Document:
    (only,) = workload["spec"]["template"]["spec"]["containers"]
    found: Document = only
    return found


def environment_of(container: Document, find: Find) -> dict[str, str]:
    """What a container's environment says, through its config maps."""
    environment = {entry["name"]: entry["value"] for entry in container.get("env", ())}
    for source in container.get("envFrom", ()):
        environment |= find(source["configMapRef"]["name"], "ConfigMap")["data"]
    return environment


@pytest.mark.parametrize("minor", KUBERNETES)
def test_every_object_fits_the_schemas(documents: list[Document], minor: str) -> None:
    for document in documents:
        validate(document, minor)


def test_no_two_objects_are_the_same(documents: list[Document]) -> None:
    keys = [(d["kind"], d["metadata"]["name"]) for d in documents]
    assert len(keys) == len(set(keys))


def test_everything_is_in_the_namespace_and_part_of_the_suite(documents: list[Document]) -> None:
    for document in documents:
        metadata = document["metadata"]
        assert metadata["labels"]["app.kubernetes.io/part-of"] == "symbiont"
        assert document["kind"] == "Namespace" or metadata["namespace"] == "symbiont"


def test_there_are_the_four_parts_and_nothing_else(documents: list[Document]) -> None:
    assert sorted(d["metadata"]["name"] for d in documents if d["kind"] in WORKLOADS) == sorted(PARTS)


def test_every_manifest_is_reached(render: Callable[[Path], list[Document]]) -> None:
    """A file that no kustomization lists is dead, and looks alive."""
    folders = {p.parent for p in ROOT.glob("k8s/**/kustomization.yaml")}
    listed: set[Path] = set()
    for folder in folders:
        kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
        listed |= {(folder / resource).resolve() for resource in kustomization.get("resources", ())}
        for generator in kustomization.get("configMapGenerator", ()):
            listed |= {(folder / e).resolve() for e in (*generator.get("envs", ()), *generator.get("files", ()))}
    files = {p for p in ROOT.glob("k8s/**/*") if p.is_file() and p.name not in ("kustomization.yaml", "README.md")}
    assert files <= listed


def test_one_name_in_every_layer(
    part: str, workload: Document, pod: Document, container: Document, version: str, find: Find
) -> None:
    label = {"app.kubernetes.io/name": part}
    assert container["name"] == part
    assert container["image"] == f"symbiont/{part}:{version}"
    assert workload["spec"]["selector"]["matchLabels"] == label
    assert label.items() <= workload["spec"]["template"]["metadata"]["labels"].items()
    assert pod["serviceAccountName"] == find(part, "ServiceAccount")["metadata"]["name"]
    service = find(part, "Service")["spec"]
    assert service["selector"] == label
    assert service["clusterIP"] == "None"


def test_the_image_says_what_runs(part: str, container: Document, stages: dict[str, str]) -> None:
    """The Dockerfile's entry points are compared with the code elsewhere: here nothing may override them."""
    assert "command" not in container
    if part == "triton":
        # Those of the image, and TLS, which its image cannot know of.
        ours = [
            argument
            for argument in container["args"]
            if argument.startswith(("--grpc-", "--http-address=", "--metrics-address="))
        ]
        image = re.findall(r'"([^"]+)"', stages["triton"].partition("CMD [")[2])
        assert [argument for argument in container["args"] if argument not in ours] == image
    else:
        assert "args" not in container


def test_metrics_of_triton_are_where_others_reach_them(find: Find, metrics_address: Callable[[list[str]], str]) -> None:
    assert metrics_address(container_of(find("triton", "Deployment"))["args"]) == "0.0.0.0"


def test_ports_are_those_of_the_settings(
    part: str, container: Document, ports: dict[str, dict[str, int]], find: Find
) -> None:
    # Triton's HTTP knows no TLS: the pod keeps it to itself. The port of probes is no caller's.
    reached = {name: port for name, port in ports[part].items() if name != "http"}
    opened = {p["name"]: p["containerPort"] for p in container["ports"]}
    assert {name: port for name, port in opened.items() if name != "health"} == reached
    service = find(part, "Service")["spec"]["ports"]
    assert {p["name"]: p["port"] for p in service} == reached
    assert all(p["targetPort"] == p["name"] for p in service)


def test_probes_reach_the_port_that_answers(part: str, container: Document, find: Find) -> None:
    opened = {p["name"]: p["containerPort"] for p in container["ports"]}
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = container[kind]
        if part == "triton":
            assert "http://127.0.0.1:8000/v2/health/" in probe["exec"]["command"][-1]
        else:
            # What restarts a pod asks for the process alone; a peer that is away takes it out of the Service at most.
            name = {} if kind == "readinessProbe" else {"service": LIVE}
            assert probe["grpc"] == {"port": opened["health"], **name}
            assert environment_of(container, find)["SYMBIONT_HEALTH_ADDRESS"] == f"0.0.0.0:{opened['health']}"
    patience = container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"]
    assert patience >= 60


def test_settings_are_fields_and_hold(
    part: str,
    container: Document,
    read_settings: Callable[[str, dict[str, str]], ServiceSettings],
    ports: dict[str, dict[str, int]],
    find: Find,
) -> None:
    environment = environment_of(container, find)
    if part == "triton":
        assert not environment
        return
    settings = read_settings(part, environment)
    assert split_address(settings.address) == ("0.0.0.0", ports[part]["grpc"])
    assert split_address(settings.metrics_address) == ("0.0.0.0", ports[part]["metrics"])


def test_peers_are_services_of_the_suite(
    part: str, container: Document, ports: dict[str, dict[str, int]], find: Find
) -> None:
    for key, value in environment_of(container, find).items():
        peer = key.removeprefix("SYMBIONT_").removesuffix("_ADDRESS").lower()
        if peer in PARTS:
            # Of Triton inference must know each pod; gRPC looks after those of the others by itself.
            scheme = "dns:///" if peer == "triton" else ""
            assert value == f"{scheme}{peer}:{ports[peer]['grpc']}"
        elif peer == "controller":
            assert value == f"127.0.0.1:{ports[part]['grpc']}"


def test_pods_are_restricted(pod: Document, container: Document) -> None:
    """The rules of the Pod Security Standard `restricted`, and a root file system that cannot be written."""
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC", "initContainers"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert all(
        volume.keys() & {"emptyDir", "persistentVolumeClaim", "secret", "configMap"} for volume in pod["volumes"]
    )


def test_the_namespace_enforces_what_the_pods_hold(find: Find) -> None:
    assert find("symbiont", "Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_pods_run_as_the_user_of_the_image(pod: Document, stages: dict[str, str]) -> None:
    context = pod["securityContext"]
    assert stages["runtime"].rstrip().endswith(f"USER {context['runAsUser']}:{context['runAsGroup']}")
    assert context["fsGroup"] == context["runAsGroup"]


def test_every_path_that_is_written_is_on_a_volume(
    part: str, workload: Document, pod: Document, container: Document, find: Find
) -> None:
    claims = {template["metadata"]["name"] for template in workload["spec"].get("volumeClaimTemplates", ())}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert {mount["name"] for mount in mounts.values()} == volumes.keys() | claims
    assert "emptyDir" in volumes[mounts["/tmp"]["name"]]
    environment = environment_of(container, find)
    # Triton has no settings of its own: inference tells it the root that it has itself.
    told = environment or environment_of(container_of(find("inference", *WORKLOADS)), find)
    artifacts = told["SYMBIONT_ARTIFACT_ROOT"]
    assert volumes[mounts[artifacts]["name"]]["persistentVolumeClaim"]["claimName"] == "artifacts"
    writes = part != "triton"
    assert mounts[artifacts].get("readOnly", False) is not writes
    assert find("artifacts", "PersistentVolumeClaim")
    if part == "training":
        state = next(PurePosixPath(path) for path, mount in mounts.items() if mount["name"] in claims)
        assert PurePosixPath(environment["SYMBIONT_STATE_ROOT"]).is_relative_to(state)
        assert PurePosixPath(environment["SYMBIONT_DATABASE_URL"].removeprefix("sqlite:///")).is_relative_to(state)


def test_nothing_is_killed_while_it_drains(
    part: str, pod: Document, container: Document, find: Find, stages: dict[str, str]
) -> None:
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    if part == "triton":
        drain = float(stages["triton"].split("--exit-timeout-secs=")[1].split('"')[0])
    else:
        drain = float(environment_of(container, find)["SYMBIONT_DRAIN_SECONDS"])
    assert pod["terminationGracePeriodSeconds"] >= pause + drain + SECONDS_TO_SPARE


@pytest.mark.parametrize(
    ("service", "setting", "computes"),
    [
        ("tokenization", "SYMBIONT_ENCODE_THREADS", "tokenization"),
        ("training", "SYMBIONT_WORKER_THREADS", "training"),
        ("inference", "SYMBIONT_HOST_THREADS", "triton"),
    ],
)
def test_threads_are_the_cores_that_were_asked_for(
    service: str, setting: str, computes: str, render: Callable[[Path], list[Document]]
) -> None:
    """A process that counts cores finds the node's, not the pod's."""
    find = partial(pick, render(ROOT / "k8s/base"))
    threads = environment_of(container_of(find(service, *WORKLOADS)), find)[setting]
    assert container_of(find(computes, *WORKLOADS))["resources"]["requests"]["cpu"] == threads


def test_the_scheduler_is_told_what_each_needs(container: Document) -> None:
    resources = container["resources"]
    assert resources["requests"].keys() == {"cpu", "memory"}
    # No CPU limit: throttling costs latency, and requests already share the cores out.
    assert resources["limits"].keys() == {"memory"}


def test_there_is_one_controller(find: Find) -> None:
    """Two would write one SQLite file."""
    assert find("training", "StatefulSet")["spec"]["replicas"] == 1


def test_tritons_are_replaced_one_after_the_other_and_found_by_name(find: Find) -> None:
    workload, service = find("triton", *WORKLOADS)["spec"], find("triton", "Service")["spec"]
    assert workload["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert workload["minReadySeconds"] > 0
    assert service["clusterIP"] == "None"
    assert not service.get("publishNotReadyAddresses")


def test_a_triton_that_goes_is_forgotten_before_it_refuses(
    find: Find, read_settings: Callable[[str, dict[str, str]], ServiceSettings]
) -> None:
    settings = read_settings("inference", environment_of(container_of(find("inference", *WORKLOADS)), find))
    pause = container_of(find("triton", *WORKLOADS))["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause > settings.model_dump()["triton_resolve_seconds"]


def test_only_inference_reaches_triton(find: Find) -> None:
    policy = find("triton", "NetworkPolicy")["spec"]
    assert policy["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "triton"}
    by_port = {rule["ports"][0]["port"]: rule.get("from") for rule in policy["ingress"]}
    assert by_port == {
        "grpc": [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "inference"}}}],
        "metrics": None,
    }


def test_the_artifact_store_is_shared_between_nodes_unless_there_is_one(
    render: Callable[[Path], list[Document]],
) -> None:
    modes = {
        target: next(d for d in render(ROOT / "k8s" / target) if d["kind"] == "PersistentVolumeClaim")["spec"][
            "accessModes"
        ]
        for target in TARGETS
    }
    assert modes == {"base": ["ReadWriteMany"], "overlays/dev": ["ReadWriteOnce"]}


@pytest.fixture
def overlays(render: Callable[[Path], list[Document]], tmp_path: Path) -> list[list[Document]]:
    """What the overlays in the README render to, in their order."""
    copytree(ROOT / "k8s", tmp_path / "k8s")
    rendered = []
    for overlay in re.findall(r"```yaml\n(.*?)```", (ROOT / "k8s/README.md").read_text(), flags=re.DOTALL):
        folder = tmp_path / "k8s/overlays" / f"mine-{len(rendered)}"
        folder.mkdir(parents=True)
        (folder / "kustomization.yaml").write_text(overlay)
        rendered.append(render(folder))
    for document in chain(*rendered):
        validate(document, KUBERNETES[-1])
    return rendered


def test_the_overlay_of_the_readme_renders(overlays: list[list[Document]]) -> None:
    (documents,) = overlays
    assert pick(documents, "artifacts", "PersistentVolumeClaim")["spec"]["storageClassName"]
    assert container_of(pick(documents, "tokenization", "Deployment"))["image"].startswith("registry.example.com/")
