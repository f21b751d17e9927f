"""The component that runs training workers as Jobs: it renders, and grants exactly what the executor calls."""

import re
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from support.kubernetes_api import SimulatedApi, simulated_api
from support.kubernetes_schemas import NEWEST, OLDEST, validate
from symbiont.common.security.files import Tls
from symbiont.common.settings import ServiceSettings
from symbiont.training.executors import Launch, WorkerName, WorkerSignal
from symbiont.training.executors.choosing import pod_settings
from symbiont.training.executors.kubernetes import KubernetesExecutor
from symbiont.training.executors.kubernetes_api import KubernetesApi
from symbiont.training.executors.kubernetes_kinds import GANGS, JOB, JOBSET, Kind
from symbiont.training.executors.kubernetes_pod import PodSettings
from symbiont.training.executors.kubernetes_template import read_template
from symbiont.training.executors.manifests import workload
from symbiont.training.settings import TrainingSettings

ROOT = Path(__file__).parents[2]
COMPONENT = ROOT / "k8s/components/kubernetes-executor"
Document = dict[str, Any]
Find = Callable[[str, str], Document]


def pick(documents: list[Document], kind: str, name: str) -> Document:
    """Returns the one object of a kind; a generated one is named by the part before its digest."""
    found = [
        d for d in documents if d["kind"] == kind and re.fullmatch(rf"{name}(-[0-9a-z]{{10}})?", d["metadata"]["name"])
    ]
    assert len(found) == 1, f"{len(found)} of kind {kind} are named {name}"
    return found[0]


@pytest.fixture(scope="module", params=["plain", "with a template"])
def rendered(
    request: pytest.FixtureRequest, render: Callable[[Path], list[Document]], tmp_path_factory: pytest.TempPathFactory
) -> list[Document]:
    """What the overlay of the component's README renders to, without and with its second part."""
    tmp_path = tmp_path_factory.mktemp("overlay")
    copytree(ROOT / "k8s", tmp_path / "k8s")
    overlay, template = re.findall(r"```yaml\n(.*?)```", (COMPONENT / "README.md").read_text(), flags=re.DOTALL)
    folder = tmp_path / "k8s/overlays/mine"
    folder.mkdir()
    (folder / "kustomization.yaml").write_text(overlay + (template if "template" in request.param else ""))
    return render(folder)


@pytest.fixture
def documents(rendered: list[Document]) -> list[Document]:
    return deepcopy(rendered)


@pytest.fixture
def find(documents: list[Document]) -> Find:
    return partial(pick, documents)


@pytest.fixture
def pod(find: Find) -> Document:
    """The controller's."""
    spec: Document = find("StatefulSet", "training")["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("minor", [OLDEST, NEWEST])
def test_every_object_fits_the_schemas(documents: list[Document], minor: str) -> None:
    for document in documents:
        validate(document, minor)


def test_everything_is_in_the_namespace_and_part_of_the_suite(documents: list[Document]) -> None:
    for document in documents:
        metadata = document["metadata"]
        assert metadata["labels"]["app.kubernetes.io/part-of"] == "symbiont"
        assert document["kind"] == "Namespace" or metadata["namespace"] == "symbiont"


def test_the_controller_alone_gets_a_token(documents: list[Document], pod: Document) -> None:
    assert pod["automountServiceAccountToken"] is True
    others = [d["spec"]["template"]["spec"] for d in documents if d["kind"] == "Deployment"]
    assert len(others) == 3
    assert not any(other["automountServiceAccountToken"] for other in others)


def test_the_role_is_bound_to_the_controller_and_to_nobody_else(find: Find, pod: Document) -> None:
    binding = find("RoleBinding", "training")
    assert binding["roleRef"]["kind"] == "Role"
    assert binding["roleRef"]["name"] == find("Role", "training")["metadata"]["name"]
    (subject,) = binding["subjects"]
    assert subject == {"kind": "ServiceAccount", "name": pod["serviceAccountName"], "namespace": "symbiont"}


@pytest.fixture
def api(find: Find) -> Any:
    with simulated_api() as server:
        server.rules = find("Role", "training")["rules"]
        yield server


def drive(api: SimulatedApi, config: Path, gang: Kind) -> None:
    """Makes every call that there is."""
    executor = KubernetesExecutor(KubernetesApi(config), PodSettings("image", suite=gang.plural), gang)
    names = [WorkerName("job-1", attempt) for attempt in (1, 2)]
    for ranks, name in enumerate(names, 1):
        executor.launch(Launch(name, "{}", ranks))
        executor.launch(Launch(name, "{}", ranks))
    api.cluster.start()
    for name, signal in zip(names, WorkerSignal, strict=True):
        executor.probe(name)
        executor.adopt(name)
        executor.read_log(name, 0, 10)
        executor.signal(name, signal)
    executor.list()
    executor.close()


def test_the_role_grants_what_is_called_and_no_more(api: SimulatedApi, tmp_path: Path) -> None:
    for gang in GANGS.values():
        drive(api, api.config(tmp_path), gang)
    assert api.rules is not None
    granted = {
        (group, resource, verb)
        for rule in api.rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == api.used


def environment_of(find: Find) -> dict[str, str]:
    environment: dict[str, str] = find("ConfigMap", "training")["data"]
    return environment


def test_settings_are_fields_and_hold(
    find: Find, read_settings: Callable[[str, dict[str, str]], ServiceSettings]
) -> None:
    settings: Any = read_settings("training", environment_of(find))
    assert settings.executor == "kubernetes"
    assert settings.kubernetes_ranks in GANGS
    assert find("ServiceAccount", PodSettings.service_account)
    assert find("PersistentVolumeClaim", PodSettings.claim)
    assert str(settings.artifact_root) == PodSettings.artifacts
    # A worker has as many threads as the scheduler sets aside cores for it.
    assert settings.worker_threads == settings.cpus_per_rank


def test_workers_run_the_controllers_image_and_dial_its_service(find: Find, pod: Document) -> None:
    environment = environment_of(find)
    (container,) = pod["containers"]
    assert environment["SYMBIONT_KUBERNETES_IMAGE"] == container["image"]
    assert container["image"].startswith("registry.example.com/")
    host, _, port = environment["SYMBIONT_CONTROLLER_ADDRESS"].partition(":")
    assert {"name": "grpc", "port": int(port)}.items() <= find("Service", host)["spec"]["ports"][0].items()


def test_the_component_itself_names_the_image_of_the_base(version: str) -> None:
    assert f"SYMBIONT_KUBERNETES_IMAGE=symbiont/training:{version}\n" in (COMPONENT / "settings.env").read_text()


def test_the_template_is_where_the_setting_says_and_leaves_a_worker_what_it_needs(
    find: Find, pod: Document, tmp_path: Path, read_settings: Callable[[str, dict[str, str]], ServiceSettings]
) -> None:
    path = Path(environment_of(find)["SYMBIONT_KUBERNETES_POD_TEMPLATE"])
    (container,) = pod["containers"]
    (volume,) = (m["name"] for m in container["volumeMounts"] if m["mountPath"] == str(path.parent))
    source = find("ConfigMap", "worker")
    assert {"name": volume, "configMap": {"name": source["metadata"]["name"]}} in pod["volumes"]
    (tmp_path / path.name).write_text(source["data"][path.name])
    settings = read_settings("training", environment_of(find))
    assert isinstance(settings, TrainingSettings)
    settings = settings.model_copy(update={"kubernetes_pod_template": tmp_path / path.name})
    job = workload(JOB, Launch(WorkerName("job-1", 1), "{}"), pod_settings(settings, []))
    validate(job)
    # Whatever an overlay says of pods: without a certificate the controller would not hear a word of a worker.
    worker = job["spec"]["template"]["spec"]
    (container,) = worker["containers"]
    tls = Tls.from_environment({entry["name"]: entry["value"] for entry in container["env"] if "value" in entry})
    assert tls is not None
    (mount,) = (m for m in container["volumeMounts"] if m["mountPath"] == str(tls.ca.parent))
    assert {tls.ca.name, tls.certificate.name, tls.key.name} == {"ca.crt", "tls.crt", "tls.key"}
    assert {"name": mount["name"], "secret": {"secretName": "worker-tls", "defaultMode": 0o440}} in worker["volumes"]
    assert container["envFrom"] == [{"secretRef": {"name": "vault", "optional": True}}]


def test_the_example_in_the_template_works(tmp_path: Path) -> None:
    lines = [line for line in (COMPONENT / "pod.yaml").read_text().splitlines() if line.startswith("#   ")]
    (tmp_path / "pod.yaml").write_text("\n".join(line.removeprefix("#   ") for line in lines))
    template = read_template(tmp_path / "pod.yaml")
    assert template.keys() == {"metadata", "spec"}
    for kind in GANGS.values():
        validate(workload(kind, Launch(WorkerName("job-1", 1), "{}", 2), PodSettings("image", template=template)))


@pytest.mark.parametrize("kind", GANGS.values(), ids=GANGS)
def test_workers_are_as_restricted_as_the_pods_of_the_base(kind: Kind, pod: Document) -> None:
    rendered = workload(kind, Launch(WorkerName("job-1", 1), "{}", 2), PodSettings("image"))["spec"]
    if kind is JOBSET:
        rendered = rendered["replicatedJobs"][0]["template"]["spec"]
    replicas = rendered.get("pytorchReplicaSpecs", {"Job": rendered}).values()
    for worker in (replica["template"]["spec"] for replica in replicas):
        (container,) = worker["containers"]
        assert worker["securityContext"] == pod["securityContext"]
        assert container["securityContext"] == pod["containers"][0]["securityContext"]
        assert worker["automountServiceAccountToken"] is False
        assert not worker.keys() & {"hostNetwork", "hostPID", "hostIPC", "initContainers"}
        assert all(v.keys() & {"emptyDir", "persistentVolumeClaim", "secret"} for v in worker["volumes"])
        # As in the base: no limit of CPU.
        assert container["resources"]["limits"].keys() == {"memory"}
        mine = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert {"/tmp", "/dev/shm", "/var/lib/symbiont/artifacts"} <= mine
