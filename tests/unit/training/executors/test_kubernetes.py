"""The `kubernetes` executor against an HTTP server that answers as the API server does, through the official client."""

import importlib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.kubernetes_api import NAMESPACE, Answer, SimulatedApi, simulated_api, status
from support.kubernetes_cluster import variables_of
from support.service import free_port
from symbiont.common.errors import FailedPrecondition, InvalidArgument, Unavailable
from symbiont.training.executors import Launch, WorkerName, WorkerSignal, WorkerStatus
from symbiont.training.executors import kubernetes_connection as connection
from symbiont.training.executors.kubernetes import KubernetesExecutor
from symbiont.training.executors.kubernetes_api import KubernetesApi
from symbiont.training.executors.kubernetes_kinds import GANGS, JOB, JOBSET, PYTORCH_JOB, Kind
from symbiont.training.executors.kubernetes_pod import PodSettings

SETTINGS = PodSettings("symbiont/training:0.1.0")
NAME = WorkerName("job-0123456789ab", 2)
OBJECT = "symbiont-job-0123456789ab-2"
SELECTOR = "app.kubernetes.io/instance=symbiont,symbiont.dev/job=job-0123456789ab,symbiont.dev/attempt=2"
# What several ranks are, by the name of rank 0's pod.
FIRST = {JOB: f"{OBJECT}-0-x0", JOBSET: f"{OBJECT}-ranks-0-0-x0", PYTORCH_JOB: f"{OBJECT}-master-0"}
MakeExecutor = Callable[..., KubernetesExecutor]


@pytest.fixture
def api() -> Iterator[SimulatedApi]:
    with simulated_api() as server:
        yield server


@pytest.fixture
def make(api: SimulatedApi, tmp_path: Path) -> Iterator[MakeExecutor]:
    made: list[KubernetesExecutor] = []

    def make_one(gang: Kind = JOB, settings: PodSettings = SETTINGS, **connection: Any) -> KubernetesExecutor:
        config = api.config(tmp_path, **connection)
        made.append(KubernetesExecutor(KubernetesApi(config), settings, gang))
        return made[-1]

    yield make_one
    for one in made:
        one.close()


@pytest.fixture
def executor(make: MakeExecutor) -> KubernetesExecutor:
    return make()


def launch(executor: KubernetesExecutor, name: WorkerName = NAME, ranks: int = 1, spec: str = '{"a": 1}') -> None:
    executor.launch(Launch(name, spec, ranks))


def verbs(api: SimulatedApi) -> list[str]:
    return [f"{request.method} {request.path.rpartition(f'{NAMESPACE}/')[2]}" for request in api.requests]


def test_one_rank_is_a_job_with_its_secret(api: SimulatedApi, executor: KubernetesExecutor) -> None:
    launch(executor)
    assert verbs(api) == ["POST jobs", "POST secrets"]
    job = api.cluster.objects["Job", OBJECT]
    secret = api.cluster.objects["Secret", OBJECT]
    assert secret["stringData"] == {"spec.json": '{"a": 1}'}
    assert [owner["uid"] for owner in secret["metadata"]["ownerReferences"]] == [job["metadata"]["uid"]]


@pytest.mark.parametrize("kind", GANGS.values(), ids=GANGS)
def test_ranks_find_each_other(api: SimulatedApi, make: MakeExecutor, kind: Kind) -> None:
    launch(make(kind), ranks=3)
    assert (kind.name, OBJECT) in api.cluster.objects
    pods = api.cluster.pods()
    found = [variables_of(pod) for pod in pods]
    assert sorted(entry["RANK"] for entry in found) == ["0", "1", "2"]
    assert {entry["WORLD_SIZE"] for entry in found} == {"3"}
    assert {entry["MASTER_PORT"] for entry in found} == {"29500"}
    (address,) = {entry["MASTER_ADDR"] for entry in found}
    first = next(pod for pod, entry in zip(pods, found, strict=True) if entry["RANK"] == "0")
    assert api.cluster.resolve(address) == first["metadata"]["name"] == FIRST[kind]


def test_ranks_start_when_all_is_there(api: SimulatedApi, executor: KubernetesExecutor) -> None:
    launch(executor, ranks=2)
    # No pod starts without its Secret.
    assert verbs(api) == ["POST jobs", "POST services", "POST secrets"]


@pytest.mark.parametrize("kind", GANGS.values(), ids=GANGS)
def test_launching_twice_changes_nothing(api: SimulatedApi, make: MakeExecutor, kind: Kind) -> None:
    launch(make(kind), ranks=2)
    before = dict(api.cluster.objects)
    launch(make(kind), ranks=2)
    assert api.cluster.objects == before


def test_one_that_has_ended_is_not_launched_again(api: SimulatedApi, executor: KubernetesExecutor) -> None:
    launch(executor)
    api.cluster.start()
    api.cluster.end()
    api.requests.clear()
    launch(executor)
    assert verbs(api) == ["POST jobs", f"GET jobs/{OBJECT}"]
    assert executor.probe(NAME) is WorkerStatus.EXITED


def test_a_launch_that_was_cut_short_is_completed(api: SimulatedApi, executor: KubernetesExecutor) -> None:
    api.broken["POST .*/secrets"] = status(500, "InternalError", "etcd has no leader")
    with pytest.raises(Unavailable, match="answers 500 when asked to create secrets: etcd has no leader"):
        launch(executor, ranks=2)
    api.broken.clear()
    launch(executor, ranks=2)
    assert {kind for kind, name in api.cluster.objects if name == OBJECT} == {"Job", "Secret", "Service"}
    api.cluster.start()
    assert executor.probe(NAME) is WorkerStatus.ALIVE


def test_a_launch_that_cannot_be_completed_leaves_nothing(api: SimulatedApi, executor: KubernetesExecutor) -> None:
    api.broken["POST .*/secrets"] = status(422, "Invalid", "Secret is invalid: data: Too long")
    with pytest.raises(FailedPrecondition, match=r"does not create secrets: Secret is invalid: data: Too long"):
        launch(executor)
    assert api.cluster.objects == {}


def test_a_spec_that_does_not_fit_is_not_sent(api: SimulatedApi, executor: KubernetesExecutor) -> None:
    with pytest.raises(InvalidArgument, match="labels"):
        launch(executor, spec="x" * (1 << 21))
    assert api.requests == []


def test_an_object_that_the_server_refuses_says_what_to_check(api: SimulatedApi, make: MakeExecutor) -> None:
    executor = make(settings=PodSettings("image", template={"spec": {"priority": "high"}}))
    with pytest.raises(FailedPrecondition, match=r"priority.*'high'.*SYMBIONT_KUBERNETES_POD_TEMPLATE") as caught:
        launch(executor)
    assert caught.value.reason == "KUBERNETES_INVALID"


@pytest.mark.parametrize("kind", GANGS.values(), ids=GANGS)
def test_a_worker_is_alive_while_all_its_ranks_run(api: SimulatedApi, make: MakeExecutor, kind: Kind) -> None:
    executor = make(kind)
    assert executor.probe(NAME) is WorkerStatus.UNKNOWN
    launch(executor, ranks=2)
    # They wait for room, one of them longer.
    assert executor.probe(NAME) is WorkerStatus.UNKNOWN
    first, second = (pod["metadata"]["name"] for pod in api.cluster.pods())
    api.cluster.start(first)
    assert executor.probe(NAME) is WorkerStatus.UNKNOWN
    api.cluster.start(second)
    assert executor.probe(NAME) is WorkerStatus.ALIVE


@pytest.mark.parametrize("exit_status", [0, 1])
@pytest.mark.parametrize("kind", GANGS.values(), ids=GANGS)
def test_one_rank_that_ends_ends_the_worker(
    api: SimulatedApi, make: MakeExecutor, kind: Kind, exit_status: int
) -> None:
    executor = make(kind)
    launch(executor, ranks=2)
    api.cluster.start()
    api.cluster.end(FIRST[kind], status=exit_status)
    if kind is JOBSET:
        # Its status counts Jobs: it is heard of when the Job has ended.
        api.cluster.end(*(pod["metadata"]["name"] for pod in api.cluster.pods() if "1-x1" in pod["metadata"]["name"]))
    assert executor.probe(NAME) is executor.adopt(NAME) is WorkerStatus.EXITED
    assert executor.list() == []


def test_a_failed_rank_is_noticed_while_the_others_stop(api: SimulatedApi, executor: KubernetesExecutor) -> None:
    launch(executor, ranks=2)
    api.cluster.start()
    api.cluster.end(f"{OBJECT}-1-x1", status=1)
    # Kubernetes itself ends the others, whose status says Failed only when they have gone.
    assert api.cluster.signals == [(f"{OBJECT}-0-x0", "SIGTERM")]
    types = [condition["type"] for condition in api.cluster.objects["Job", OBJECT]["status"]["conditions"]]
    assert types == ["FailureTarget"]
    assert executor.probe(NAME) is WorkerStatus.EXITED


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("kind", GANGS.values(), ids=GANGS)
def test_another_executor_adopts_by_name(api: SimulatedApi, make: MakeExecutor, kind: Kind, ranks: int) -> None:
    launch(make(kind), ranks=ranks)
    other = make(kind)
    assert other.adopt(NAME) is WorkerStatus.UNKNOWN
    api.cluster.start()
    assert other.adopt(NAME) is WorkerStatus.ALIVE
    assert other.list() == [NAME]
    # The API forgets nothing: what it does not have is not there.
    assert other.adopt(WorkerName(NAME.job, 3)) is WorkerStatus.EXITED
    api.cluster.remove(api.cluster.objects[JOB.name if ranks == 1 else kind.name, OBJECT])
    assert other.adopt(NAME) is WorkerStatus.EXITED


def test_one_that_was_there_and_is_gone_has_ended(api: SimulatedApi, executor: KubernetesExecutor) -> None:
    launch(executor)
    api.cluster.remove(api.cluster.objects["Job", OBJECT])
    assert executor.probe(NAME) is WorkerStatus.EXITED
    # Whoever never saw it cannot tell whether it is yet to come.
    assert ("Secret", OBJECT) not in api.cluster.objects


@pytest.mark.parametrize("kind", GANGS.values(), ids=GANGS)
def test_terminate_gives_each_rank_its_grace(api: SimulatedApi, make: MakeExecutor, kind: Kind) -> None:
    executor = make(kind)
    launch(executor, ranks=2)
    api.cluster.start()
    api.requests.clear()
    executor.signal(NAME, WorkerSignal.TERMINATE)
    (deletion,) = (request for request in api.requests if request.method == "DELETE")
    assert deletion.path.endswith(f"/{kind.plural}/{OBJECT}")
    assert deletion.query == {"propagationPolicy": "Foreground"}
    names = [pod["metadata"]["name"] for pod in api.cluster.pods()]
    assert sorted(api.cluster.signals) == sorted((name, "SIGTERM") for name in names)
    assert {pod["metadata"]["deletionGracePeriodSeconds"] for pod in api.cluster.pods()} == {120}
    # They make their checkpoint: not yet ended, and no more to be counted on.
    assert executor.probe(NAME) is executor.adopt(NAME) is WorkerStatus.UNKNOWN
    assert executor.list() == [NAME]
    api.cluster.end(*names)
    assert executor.probe(NAME) is WorkerStatus.EXITED
    assert api.cluster.objects == {}
    executor.signal(NAME, WorkerSignal.TERMINATE)


@pytest.mark.parametrize("kind", GANGS.values(), ids=GANGS)
def test_kill_leaves_no_pod_and_nobody_who_makes_new_ones(api: SimulatedApi, make: MakeExecutor, kind: Kind) -> None:
    executor = make(kind)
    launch(executor, ranks=2)
    launch(executor, WorkerName(NAME.job, 3), ranks=2)
    api.cluster.start()
    api.requests.clear()
    executor.signal(NAME, WorkerSignal.KILL)
    first, second = (request for request in api.requests if request.method == "DELETE")
    assert first.path.endswith(f"/{kind.plural}/{OBJECT}")
    assert first.query == {"propagationPolicy": "Foreground"}
    assert second.path == f"/api/v1/namespaces/{NAMESPACE}/pods"
    assert second.query == {"gracePeriodSeconds": "0", "labelSelector": SELECTOR}
    assert [signal for _, signal in api.cluster.signals].count("SIGKILL") == 2
    assert executor.probe(NAME) is WorkerStatus.EXITED
    assert executor.list() == [WorkerName(NAME.job, 3)]
    executor.signal(NAME, WorkerSignal.KILL)


@pytest.mark.parametrize("signal", list(WorkerSignal))
def test_what_has_ended_by_itself_keeps_its_log(
    api: SimulatedApi, executor: KubernetesExecutor, signal: WorkerSignal
) -> None:
    launch(executor)
    api.cluster.start()
    api.cluster.logs[FIRST[JOB]] = b"why\n"
    api.cluster.end(status=1)
    executor.signal(NAME, signal)
    assert not [request for request in api.requests if request.method == "DELETE"]
    assert executor.read_log(NAME, 0, 4) == b"why\n"


def test_the_list_is_of_this_suite(api: SimulatedApi, make: MakeExecutor) -> None:
    ours, others = make(JOBSET), make(JOB, PodSettings("image", suite="other"))
    single, gang = WorkerName("job-1", 1), WorkerName("job-2", 4)
    launch(ours, gang, ranks=2)
    launch(ours, single)
    launch(others, WorkerName("job-3", 1))
    somebody = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "backup", "labels": {"app": "backup"}}}
    template = api.cluster.objects["Job", "other-job-3-1"]["spec"]
    api.cluster.add({**somebody, "spec": {**template, "completions": 0}})
    api.requests.clear()
    assert ours.list() == [single, gang]
    wanted = "app.kubernetes.io/name=worker,app.kubernetes.io/instance=symbiont"
    assert {request.query["labelSelector"] for request in api.requests} == {wanted}
    assert others.list() == [WorkerName("job-3", 1)]


def test_a_long_list_comes_in_pages(
    api: SimulatedApi, executor: KubernetesExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("symbiont.training.executors.kubernetes_api.PAGE", 2)
    names = [WorkerName("job-1", attempt) for attempt in range(1, 6)]
    for name in names:
        launch(executor, name)
    api.requests.clear()
    assert executor.list() == names
    assert [request.query.get("continue") for request in api.requests] == [None, "2", "4"]


def test_where_is_a_command_that_prints_it(executor: KubernetesExecutor) -> None:
    command = "kubectl --namespace symbiont logs --selector {} --all-containers --prefix --tail=-1"
    assert executor.where(NAME) == command.format(SELECTOR)


@pytest.mark.parametrize("kind", GANGS.values(), ids=GANGS)
def test_the_log_of_rank_0_is_read_by_bytes(api: SimulatedApi, make: MakeExecutor, kind: Kind) -> None:
    executor = make(kind)
    assert executor.read_log(NAME, 0, 100) == b""
    launch(executor, ranks=2)
    # The container has yet to start.
    assert executor.read_log(NAME, 0, 100) == b""
    api.cluster.start()
    assert executor.read_log(NAME, 0, 100) == b""
    api.cluster.logs[FIRST[kind]] = text = "begin 客户\r\n".encode() + b"\xff" * 300_000 + "終".encode()[:2]
    for offset, limit in ((0, 8), (7, 100), (-2, 10), (-4, 3), (300_000, 1000), (-10_000_000, 5)):
        begin = max(len(text) + offset, 0) if offset < 0 else offset
        assert executor.read_log(NAME, offset, limit) == text[begin:][:limit]
    # No more crosses the network than is needed.
    limits = [request.query.get("limitBytes") for request in api.requests if request.path.endswith("/log")]
    assert limits[2:] == ["8", "107", None, None, "301000", None]


def test_how_a_container_ended_stands_after_its_log(api: SimulatedApi, executor: KubernetesExecutor) -> None:
    launch(executor)
    api.cluster.start()
    api.cluster.logs[FIRST[JOB]] = b"step 7\n"
    api.cluster.end(status=137, reason="OOMKilled")
    words = b"[kubernetes] ended with status 137: OOMKilled\n"
    assert executor.read_log(NAME, 0, 1000) == b"step 7\n" + words
    # Read on from where the log ended, and by parts.
    assert executor.read_log(NAME, 7, 1000) == words
    assert executor.read_log(NAME, 3, 6) == b"p 7\n[k"
    assert executor.read_log(NAME, -10, 1000) == b"OOMKilled\n"


def test_a_pod_that_was_evicted_says_so(api: SimulatedApi, executor: KubernetesExecutor) -> None:
    launch(executor)
    api.cluster.start()
    api.cluster.evict(FIRST[JOB])
    said = executor.read_log(NAME, 0, 1000)
    assert said == b"[kubernetes] Evicted: The node was low on resource: memory.\n"
    assert executor.probe(NAME) is WorkerStatus.EXITED


def test_one_that_ended_well_says_nothing_of_it(api: SimulatedApi, executor: KubernetesExecutor) -> None:
    launch(executor)
    api.cluster.start()
    api.cluster.logs[FIRST[JOB]] = b"done\n"
    api.cluster.end()
    assert executor.read_log(NAME, 0, 1000) == b"done\n"


CALLS: dict[str, Callable[[KubernetesExecutor], object]] = {
    "launch": launch,
    "probe": lambda executor: executor.probe(NAME),
    "adopt": lambda executor: executor.adopt(NAME),
    "list": lambda executor: executor.list(),
    "terminate": lambda executor: executor.signal(NAME, WorkerSignal.TERMINATE),
    "kill": lambda executor: executor.signal(NAME, WorkerSignal.KILL),
    "read_log": lambda executor: executor.read_log(NAME, 0, 10),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_server_that_does_not_answer_is_named(
    api: SimulatedApi, tmp_path: Path, call: Callable[[KubernetesExecutor], object]
) -> None:
    api.address = f"http://127.0.0.1:{free_port()}"
    executor = KubernetesExecutor(KubernetesApi(api.config(tmp_path)), SETTINGS)
    with pytest.raises(Unavailable, match=rf"{api.address} does not answer .*refused.*: check that") as caught:
        call(executor)
    assert caught.value.reason == "KUBERNETES_UNREACHABLE"
    executor.close()


def test_a_server_that_hangs_up_is_unavailable(api: SimulatedApi, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        api.address = f"https://127.0.0.1:{server.getsockname()[1]}"
        executor = KubernetesExecutor(KubernetesApi(api.config(tmp_path)), SETTINGS)
        server.settimeout(10)
        accepting = threading.Thread(target=lambda: server.accept()[0].close())
        accepting.start()
        with pytest.raises(Unavailable, match="does not answer") as caught:
            executor.probe(NAME)
        accepting.join()
        assert caught.value.reason == "KUBERNETES_UNREACHABLE"
        executor.close()


RIGHTS = {
    "launch": ("batch", "jobs", "create"),
    "probe": ("batch", "jobs", "get"),
    "adopt": ("batch", "jobs", "get"),
    "list": ("batch", "jobs", "list"),
    "terminate": ("batch", "jobs", "get"),
    "kill": ("batch", "jobs", "get"),
    "read_log": ("", "pods", "list"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_missing_right_is_named(api: SimulatedApi, executor: KubernetesExecutor, name: str) -> None:
    _, resource, verb = RIGHTS[name]
    api.rules = []
    words = rf"lacks the verb {verb} for {resource} in the namespace symbiont: apply k8s/components/kubernetes-executor"
    with pytest.raises(Unavailable, match=words) as caught:
        CALLS[name](executor)
    assert caught.value.reason == "KUBERNETES_FORBIDDEN"


def test_each_further_right_is_named_when_it_is_missing(api: SimulatedApi, executor: KubernetesExecutor) -> None:
    everything = {"apiGroups": ["", "batch"], "verbs": ["create", "get", "list"]}
    api.rules = [{**everything, "resources": ["jobs", "pods"]}]
    with pytest.raises(Unavailable, match="lacks the verb create for secrets"):
        launch(executor)
    api.cluster.add({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": OBJECT}})
    api.cluster.start()
    with pytest.raises(Unavailable, match="lacks the verb get for pods/log"):
        executor.read_log(NAME, 0, 1)
    with pytest.raises(Unavailable, match="lacks the verb delete for jobs"):
        executor.signal(NAME, WorkerSignal.TERMINATE)
    api.rules = [{"apiGroups": ["batch"], "verbs": ["get", "delete"], "resources": ["jobs"]}]
    with pytest.raises(Unavailable, match="lacks the verb deletecollection for pods"):
        executor.signal(NAME, WorkerSignal.KILL)


@pytest.mark.parametrize("name", CALLS)
def test_one_whom_the_server_does_not_know(make: MakeExecutor, name: str) -> None:
    with pytest.raises(Unavailable, match="does not know who asks") as caught:
        CALLS[name](make(token="expired"))
    assert caught.value.reason == "KUBERNETES_UNAUTHENTICATED"


def test_a_quota_that_is_used_up_is_no_missing_right(api: SimulatedApi, executor: KubernetesExecutor) -> None:
    api.broken["POST .*/jobs"] = status(403, "Forbidden", 'jobs.batch "x" is forbidden: exceeded quota: jobs')
    with pytest.raises(Unavailable, match=r"answers 403 when asked to create jobs: .*exceeded quota: jobs") as caught:
        launch(executor)
    assert caught.value.reason == "KUBERNETES_ANSWER"


def test_an_operator_that_is_not_there(api: SimulatedApi, make: MakeExecutor) -> None:
    api.operators.clear()
    executor = make(JOBSET)
    for call in (lambda: launch(executor, ranks=2), executor.list, lambda: executor.adopt(NAME)):
        with pytest.raises(Unavailable, match=r"jobsets .* or the operator that knows them is not installed"):
            call()
    # Jobs of one rank need none.
    launch(executor)
    assert executor.probe(NAME) is WorkerStatus.UNKNOWN


def test_a_namespace_that_is_not_there(make: MakeExecutor) -> None:
    with pytest.raises(Unavailable, match=r'no such namespace.*namespaces "elsewhere" not found') as caught:
        launch(make(namespace="elsewhere"))
    assert caught.value.reason == "KUBERNETES_KIND_MISSING"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(404, b"<html>Not Found</html>"),
        Answer(404, {"message": "no Route matched"}),
        status(404, "NotFound", 'namespaces "symbiont" not found', {"name": "symbiont", "kind": "namespaces"}),
        Answer(502, b"Bad Gateway"),
        status(429, "TooManyRequests", "please try again later"),
    ],
    ids=["html", "json", "namespace", "gateway", "busy"],
)
def test_an_answer_that_is_not_about_the_object_says_nothing_of_it(
    api: SimulatedApi, executor: KubernetesExecutor, answer: Answer
) -> None:
    launch(executor)
    api.broken["."] = answer
    for call in (executor.probe, executor.adopt, lambda name: executor.signal(name, WorkerSignal.KILL)):
        with pytest.raises(Unavailable):
            call(NAME)


def test_the_namespace_is_the_contexts_unless_one_is_named(api: SimulatedApi, tmp_path: Path) -> None:
    config = api.config(tmp_path, namespace="team-a")
    assert KubernetesApi(config).namespace == KubernetesApi(config, "test").namespace == "team-a"
    assert KubernetesApi(config, namespace="team-b").namespace == "team-b"


def test_a_pod_finds_the_api_by_its_service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = importlib.import_module("kubernetes.config.incluster_config")
    for name, attribute in (("token", "SERVICE_TOKEN_FILENAME"), ("ca.crt", "SERVICE_CERT_FILENAME")):
        (tmp_path / name).write_text("x")
        monkeypatch.setattr(loader, attribute, str(tmp_path / name))
    (tmp_path / "namespace").write_text("team-a")
    monkeypatch.setattr(connection, "NAMESPACE_FILE", tmp_path / "namespace")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    configuration, namespace = connection.configure(connection.Client(), None, "")
    assert (configuration.host, namespace) == ("https://10.0.0.1:443", "team-a")
    (tmp_path / "token").unlink()
    with pytest.raises(FailedPrecondition, match=r"token .*KUBECONFIG"):
        connection.configure(connection.Client(), None, "")


@pytest.mark.parametrize("context", ["", "nowhere"])
def test_a_configuration_that_leads_nowhere_says_what_to_set(api: SimulatedApi, tmp_path: Path, context: str) -> None:
    config = api.config(tmp_path) if context else tmp_path / "no-file"
    with pytest.raises(FailedPrecondition, match=r"nothing says where .*KUBECONFIG") as caught:
        KubernetesApi(config, context)
    assert caught.value.reason == "KUBERNETES_CONFIG"


def test_a_missing_client_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(connection.importlib, "import_module", load)
    with pytest.raises(FailedPrecondition, match=r"kubernetes.client.*pip install 'symbiont\[kubernetes\]'") as caught:
        KubernetesApi()
    assert caught.value.reason == "KUBERNETES_CLIENT_MISSING"


def test_the_client_is_loaded_only_when_it_is_needed() -> None:
    program = "import sys, symbiont.training.executors.kubernetes; print('kubernetes.client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"False\n"
