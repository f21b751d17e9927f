"""The `ray` executor against a server that answers as Ray does; tests/integration/test_ray.py has the real one."""

import json
import shlex
from collections.abc import Iterator

import pytest

from support.ray_dashboard import RayDashboard, ray_dashboard
from support.service import free_port
from symbiont.common.errors import InvalidArgument, Unavailable
from symbiont.training.executors import Executor, Launch, WorkerName, WorkerSignal, WorkerStatus
from symbiont.training.executors.packing import SPEC_VARIABLE, unpack_spec
from symbiont.training.executors.ray import RayExecutor, cut

TOKEN = "a-token"
NAME = WorkerName("job-1f", 2)
SUBMISSION = "symbiont-job-1f-2"
LOG = f"job-driver-{SUBMISSION}.log"


@pytest.fixture
def dashboard() -> Iterator[RayDashboard]:
    with ray_dashboard(TOKEN) as server:
        yield server


@pytest.fixture
def executor(dashboard: RayDashboard) -> Iterator[RayExecutor]:
    executor = RayExecutor(dashboard.address, TOKEN, cpus=1.5, stop_seconds=12, environment={"EXTRA": "1"})
    yield executor
    executor.close()


def launch(executor: Executor, name: WorkerName = NAME, ranks: int = 1) -> None:
    executor.launch(Launch(name, '{"job": "jobs/job-1f"}', ranks))


def test_one_rank_is_the_worker_itself_on_any_node_with_room(dashboard: RayDashboard, executor: RayExecutor) -> None:
    launch(executor)
    (request,) = dashboard.requests
    assert request["submission_id"] == SUBMISSION
    assert request["entrypoint_num_cpus"] == 1.5
    program = ["python", "-m", "symbiont.training.worker", "--spec", f"env:{SPEC_VARIABLE}", "--attempt", "2"]
    assert shlex.split(request["entrypoint"]) == ["exec", *program]
    variables = request["runtime_env"]["env_vars"]
    assert unpack_spec(variables[SPEC_VARIABLE]) == '{"job": "jobs/job-1f"}'
    assert variables["RAY_JOB_STOP_WAIT_TIME_S"] == "12"
    assert variables["OMP_NUM_THREADS"] == "2"
    assert variables["HF_HUB_OFFLINE"] == variables["EXTRA"] == "1"


def test_several_ranks_are_a_launcher_that_takes_no_cpu(dashboard: RayDashboard, executor: RayExecutor) -> None:
    launch(executor, ranks=3)
    (request,) = dashboard.requests
    assert "entrypoint_num_cpus" not in request
    command = shlex.split(request["entrypoint"])
    assert command[:6] == ["exec", "python", "-m", "symbiont.training.executors.ray_ranks", "--ranks", "3"]
    assert command[6:10] == ["--cpus", "1.5", "--grace", "10"]
    assert command[10:14] == ["--", "python", "-m", "symbiont.training.worker"]


def test_launching_twice_changes_nothing(dashboard: RayDashboard, executor: RayExecutor) -> None:
    launch(executor)
    dashboard.set(SUBMISSION, "RUNNING")
    launch(executor)
    assert len(dashboard.requests) == 2
    assert executor.probe(NAME) is WorkerStatus.ALIVE
    dashboard.set(SUBMISSION, "FAILED")
    launch(executor)
    assert executor.probe(NAME) is WorkerStatus.EXITED


def test_a_spec_that_does_not_fit_is_not_submitted(dashboard: RayDashboard, executor: RayExecutor) -> None:
    spec = json.dumps([hex(hash((n, "x"))) + hex(hash((n, "y"))) for n in range(9000)])
    with pytest.raises(InvalidArgument, match="labels"):
        executor.launch(Launch(NAME, spec))
    assert dashboard.requests == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("PENDING", WorkerStatus.UNKNOWN),
        ("RUNNING", WorkerStatus.ALIVE),
        ("STOPPED", WorkerStatus.EXITED),
        ("SUCCEEDED", WorkerStatus.EXITED),
        ("FAILED", WorkerStatus.EXITED),
    ],
)
def test_what_ray_says_of_a_job(
    dashboard: RayDashboard, executor: RayExecutor, status: str, expected: WorkerStatus
) -> None:
    launch(executor)
    dashboard.set(SUBMISSION, status)
    assert executor.probe(NAME) is executor.adopt(NAME) is expected


def test_a_name_that_ray_does_not_know(dashboard: RayDashboard, executor: RayExecutor) -> None:
    assert executor.probe(NAME) is executor.adopt(NAME) is WorkerStatus.UNKNOWN
    executor.signal(NAME, WorkerSignal.KILL)
    assert executor.read_log(NAME, 0, 10) == b""
    assert dashboard.stopped == []


@pytest.mark.parametrize("signal", list(WorkerSignal))
def test_either_signal_stops_the_job(dashboard: RayDashboard, executor: RayExecutor, signal: WorkerSignal) -> None:
    launch(executor)
    executor.signal(NAME, signal)
    dashboard.set(SUBMISSION, "STOPPED")
    executor.signal(NAME, signal)
    assert dashboard.stopped == [SUBMISSION, SUBMISSION]


def test_the_list_has_what_runs_or_waits_of_this_suite(dashboard: RayDashboard, executor: RayExecutor) -> None:
    other = RayExecutor(dashboard.address, TOKEN, suite="other")
    waiting, running, ended = (WorkerName("job-2e", attempt) for attempt in (1, 2, 3))
    for name in (waiting, running, ended):
        launch(executor, name)
    launch(other, running)
    dashboard.submit({"submission_id": "raysubmit_x", "entrypoint": "sleep 1"})
    dashboard.set("symbiont-job-2e-2", "RUNNING")
    dashboard.set("symbiont-job-2e-3", "SUCCEEDED")
    assert executor.list() == [waiting, running]
    assert other.list() == [running]
    other.close()


def test_where_names_the_job_and_the_dashboard(dashboard: RayDashboard, executor: RayExecutor) -> None:
    assert executor.where(NAME) == f"Ray job {SUBMISSION}, at {dashboard.address}/#/jobs/{SUBMISSION}"


def test_the_log_is_read_by_bytes(dashboard: RayDashboard, executor: RayExecutor) -> None:
    launch(executor)
    dashboard.set(SUBMISSION, "RUNNING")
    assert executor.read_log(NAME, 0, 100) == b""
    # Cut within a character, and with what is no text.
    dashboard.logs[LOG] = text = "begin 客户\r\n".encode() + b"\xff" * 300_000 + "終".encode()[:2]
    for offset, limit in ((0, 8), (7, 100), (-2, 10), (-4, 3), (300_000, 1000), (-10_000_000, 5)):
        begin = max(len(text) + offset, 0) if offset < 0 else offset
        assert executor.read_log(NAME, offset, limit) == text[begin:][:limit]


def test_rays_own_words_stand_in_for_a_log_that_is_gone(dashboard: RayDashboard, executor: RayExecutor) -> None:
    launch(executor)
    assert executor.read_log(NAME, 0, 100) == b""
    dashboard.set(SUBMISSION, "FAILED", "Job supervisor actor died", node="f" * 56)
    assert executor.read_log(NAME, 0, 100) == b"Job supervisor actor died"
    assert executor.read_log(NAME, -4, 100) == b"died"
    assert executor.read_log(NAME, 4, 100) == b""
    dashboard.set(SUBMISSION, "FAILED", "it never ran", node=None)
    assert executor.read_log(NAME, 0, 100) == b"it never ran"


@pytest.mark.parametrize(("token", "status"), [("", 401), ("wrong", 403)])
def test_a_refused_token_names_the_setting(dashboard: RayDashboard, token: str, status: int) -> None:
    executor = RayExecutor(dashboard.address, token)
    with pytest.raises(Unavailable, match=rf"refuses the token \({status}\): set SYMBIONT_RAY_TOKEN") as caught:
        executor.probe(NAME)
    assert caught.value.reason == "RAY_TOKEN_REFUSED"
    executor.close()


@pytest.mark.parametrize("kind", ["nobody listens", "no URL"])
def test_a_cluster_that_does_not_answer_is_unavailable(kind: str) -> None:
    address = "127.0.0.1:8265" if kind == "no URL" else f"http://127.0.0.1:{free_port()}"
    executor = RayExecutor(address, TOKEN)
    for call in (executor.probe, executor.adopt, executor.list, launch):
        with pytest.raises(Unavailable, match=rf"{address} .*SYMBIONT_RAY_ADDRESS") as caught:
            call(*([executor] if call is launch else [] if call == executor.list else [NAME]))  # type: ignore[operator]
        assert caught.value.reason == "RAY_UNREACHABLE"
    executor.close()


@pytest.mark.parametrize(
    "answer",
    [
        (404, "<html>Not Found</html>"),
        (200, "<html>hello</html>"),
        (200, '{"status": "ok"}'),
        (200, "7"),
        (500, "Traceback:\n  File x\nRuntimeError: the GCS is gone\n"),
    ],
)
def test_an_answer_that_is_not_rays_says_nothing_of_a_worker(
    dashboard: RayDashboard, executor: RayExecutor, answer: tuple[int, str]
) -> None:
    dashboard.broken = answer
    with pytest.raises(Unavailable, match=f"answers {answer[0]} to /api/jobs/{SUBMISSION}"):
        executor.probe(NAME)
    with pytest.raises(Unavailable, match="answers"):
        executor.list()
    if answer[0] != 200:
        with pytest.raises(Unavailable, match="answers"):
            launch(executor)
        with pytest.raises(Unavailable, match="answers"):
            executor.signal(NAME, WorkerSignal.TERMINATE)


def test_a_cut_takes_no_more_pieces_than_it_needs() -> None:
    taken: list[int] = []

    def pieces() -> Iterator[bytes]:
        for number in range(100):
            taken.append(number)
            yield b"abcd"

    assert cut(pieces(), 6, 5) == b"cdabc"
    assert taken == [0, 1, 2]
