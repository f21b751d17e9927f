"""Workers as processes: launched once, found by name, signalled, read; none is left behind."""

import itertools
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from google.protobuf import json_format

from support.service import fork_server
from support.waiting import until_sync
from symbiont.api.training.v1 import worker_pb2
from symbiont.common.errors import Unavailable
from symbiont.training.executors import Launch, WorkerName, WorkerSignal, WorkerStatus
from symbiont.training.executors.local import LocalExecutor
from symbiont.training.fork_server import ForkServer

NAME = WorkerName("job-x", 1)
PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from symbiont.training.executors.local import MARK_VARIABLE, leave_mark
print("rank", os.environ.get("RANK", "0"), "of", os.environ.get("WORLD_SIZE", "1"), flush=True)
def stop(*_):
    print("asked to stop", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
if "late" not in sys.argv:
    leave_mark(Path(os.environ[MARK_VARIABLE]))
time.sleep(60)
"""


MADE: list[LocalExecutor] = []


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for made in MADE:
        # Forks are not its children.
        for name in made.list():
            made.signal(name, WorkerSignal.KILL)
        for child in itertools.chain(*made._children.values()):
            child.kill()
            child.wait()
    MADE.clear()


def executor(folder: Path, *arguments: str) -> LocalExecutor:
    MADE.append(LocalExecutor(folder, 2, (sys.executable, "-c", PROGRAM, *arguments)))
    return MADE[-1]


def ended(made: LocalExecutor) -> bool:
    return made.probe(NAME) is WorkerStatus.EXITED


def test_launched_twice_it_runs_once(folder: Path) -> None:
    made = executor(folder)
    assert made.probe(NAME) is WorkerStatus.UNKNOWN
    for _ in range(2):
        made.launch(Launch(NAME, '{"a": 1}'))
    until_sync(lambda: made.probe(NAME) is WorkerStatus.ALIVE)
    assert made.list() == [NAME]
    assert (folder / "job-x/attempt-1/spec.json").read_text() == '{"a": 1}'
    assert len(made._running(NAME)) == 1
    made.signal(NAME, WorkerSignal.TERMINATE)
    until_sync(lambda: ended(made))
    assert made.read_log(NAME, 0, 100) == b"rank 0 of 1\nasked to stop\n"
    assert made.read_log(NAME, -5, 100) == b"stop\n"
    assert made.read_log(NAME, 7, 4) == b"of 1"
    assert made.read_log(WorkerName("job-y", 1), 0, 100) == b""
    assert made.list() == []
    made.signal(NAME, WorkerSignal.KILL)


def test_another_controller_finds_it_before_and_after_it_left_its_mark(folder: Path) -> None:
    executor(folder, "late").launch(Launch(NAME, "{}"))
    other = executor(folder)
    assert other.probe(NAME) is WorkerStatus.UNKNOWN
    until_sync(lambda: other.adopt(NAME) is WorkerStatus.ALIVE)
    other.signal(NAME, WorkerSignal.KILL)
    until_sync(lambda: other.adopt(NAME) is WorkerStatus.EXITED)
    # One that was never launched is as certain.
    assert other.adopt(WorkerName("job-y", 4)) is WorkerStatus.EXITED


def test_the_ranks_of_a_worker_live_and_die_together(folder: Path) -> None:
    made = executor(folder)
    made.launch(Launch(NAME, "{}", ranks=3))
    until_sync(lambda: len(list((folder / "job-x/attempt-1").glob("worker*.json"))) == 3)
    assert made.probe(NAME) is WorkerStatus.ALIVE
    logs = [folder / "job-x/attempt-1" / name for name in ("worker.log", "worker-1.log", "worker-2.log")]
    assert [log.read_text() for log in logs] == [f"rank {i} of 3\n" for i in range(3)]
    environments = [process.environ() for process in made._running(NAME)]
    assert len({environment["MASTER_PORT"] for environment in environments}) == 1
    assert {environment["OMP_NUM_THREADS"] for environment in environments} == {"1"}
    made._running(NAME)[1].kill()
    until_sync(lambda: ended(made))
    made.signal(NAME, WorkerSignal.KILL)
    until_sync(lambda: made._running(NAME) == [])


def test_a_pid_that_is_somebody_elses_now_is_not_it(folder: Path) -> None:
    made = executor(folder)
    attempt = folder / "job-x/attempt-1"
    attempt.mkdir(parents=True)
    (attempt / "worker.json").write_text(f'{{"pid": {os.getpid()}, "create_time": {time.time() - 9e6}}}')
    assert ended(made)
    made.signal(NAME, WorkerSignal.KILL)


def forking(folder: Path) -> LocalExecutor:
    """Returns one whose program would fail: its workers can only be forks."""
    made = LocalExecutor(folder / "jobs of all", 2, ("false",), fork_server())
    MADE.append(made)
    return made


def waiting_spec() -> str:
    """Returns what has a real worker wait: nobody answers where it asks."""
    spec = worker_pb2.WorkerSpec(
        job="jobs/job-x", attempt=1, controller_address="127.0.0.1:9", tokenization_address="127.0.0.1:9"
    )
    return json_format.MessageToJson(spec)


def test_forks_are_found_as_programs_are(folder: Path) -> None:
    made, other = forking(folder), forking(folder)
    for _ in range(2):
        made.launch(Launch(NAME, waiting_spec()))
    # Found at once: what is launched again in the same moment is not launched twice.
    assert made.list() == [NAME]
    assert len(other._running(NAME)) == 1
    until_sync(lambda: other.probe(NAME) is WorkerStatus.ALIVE)
    assert other.adopt(NAME) is WorkerStatus.ALIVE
    other.signal(NAME, WorkerSignal.KILL)
    until_sync(lambda: made.probe(NAME) is WorkerStatus.EXITED)
    assert made.list() == []


def test_where_a_fork_is_in_doubt_no_rank_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = forking(folder)
    fork = ForkServer.fork

    def first_only(self: ForkServer, program: str, arguments: Sequence[str], environment: Any, *files: int) -> Any:
        if environment["RANK"] == "1":
            # The first has its name by then.
            until_sync(lambda: made.list() == [NAME])
            raise Unavailable("the fork server has ended while it was asked")
        return fork(self, program, arguments, environment, *files)

    monkeypatch.setattr(ForkServer, "fork", first_only)
    with pytest.raises(Unavailable):
        made.launch(Launch(NAME, waiting_spec(), ranks=2))
    until_sync(lambda: made.list() == [])


def test_without_a_fork_server_that_answers_the_program_runs(folder: Path) -> None:
    made = LocalExecutor(folder, 2, (sys.executable, "-c", PROGRAM), ForkServer("symbiont-absent"))
    MADE.append(made)
    made.launch(Launch(NAME, "{}"))
    until_sync(lambda: made.probe(NAME) is WorkerStatus.ALIVE)
    assert made.read_log(NAME, 0, 100) == b"rank 0 of 1\n"


def test_children_that_have_ended_are_looked_after(folder: Path) -> None:
    made = LocalExecutor(folder, 2, ("true",))
    MADE.append(made)
    for n in range(3):
        made.launch(Launch(WorkerName(f"job-{n}", 1), "{}"))
    children = [child.pid for each in made._children.values() for child in each]
    until_sync(lambda: all(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE for pid in children))
    made.launch(Launch(WorkerName("job-last", 1), "{}"))
    assert not any(psutil.pid_exists(pid) for pid in children)
