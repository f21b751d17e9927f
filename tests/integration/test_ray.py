"""The `ray` executor on a real cluster: a head and a second node on this machine, and workers that do little.

`make ray` installs Ray and runs this; without it everything here is skipped.
"""

import json
import re
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.ray_cluster import RayCluster, needs_ray, ray_cluster
from support.waiting import until_sync
from symbiont.common.errors import Unavailable
from symbiont.training.executors import Launch, WorkerName, WorkerSignal, WorkerStatus
from symbiont.training.executors.packing import MAX_CHARACTERS, pack_spec
from symbiont.training.executors.ray import RayExecutor

pytestmark = [pytest.mark.ray, needs_ray, pytest.mark.timeout(600)]

WORKER = [sys.executable, "-P", str(Path(__file__).parents[1] / "support" / "ray_worker.py")]
# Ray takes seconds for what it does, and this machine may be busy.
SECONDS = 120
FOREVER = 10_000


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster(nodes=2, cpus=2) as running:
        yield running


class Workers:
    """Launches workers for one test, knows what they said, and ends those that it leaves."""

    def __init__(self, cluster: RayCluster, root: Path) -> None:
        self.cluster = cluster
        self._root = root
        self._executors: list[RayExecutor] = []
        self._launched: list[tuple[RayExecutor, WorkerName]] = []

    def executor(self, **options: Any) -> RayExecutor:
        options = {"python": sys.executable, "program": WORKER, "environment": {"MARKED": "$HOME-"}, **options}
        made = RayExecutor(self.cluster.address, self.cluster.token, **options)
        self._executors.append(made)
        return made

    def launch(self, executor: RayExecutor, name: WorkerName, ranks: int = 1, **spec: Any) -> Path:
        folder = self._root / f"{name.job}-{name.attempt}"
        folder.mkdir(exist_ok=True)
        self._launched.append((executor, name))
        executor.launch(Launch(name, json.dumps({"folder": str(folder), **spec}), ranks))
        return folder

    def begun(self, folder: Path, ranks: int = 1) -> list[dict[str, Any]]:
        """Waits until every rank has told of itself; returns what they told."""
        files = [folder / f"rank-{rank}.json" for rank in range(ranks)]
        until_sync(lambda: all(file.exists() for file in files), SECONDS)
        return [json.loads(file.read_bytes()) for file in files]

    def ended(self, executor: RayExecutor, name: WorkerName) -> str:
        """Waits until a worker has ended; returns its log."""
        until_sync(lambda: executor.probe(name) is WorkerStatus.EXITED, SECONDS)
        return executor.read_log(name, 0, 1 << 20).decode()

    def abandon(self) -> None:
        """Does not end what was launched: nobody could."""
        self._launched.clear()

    def close(self) -> None:
        for executor, name in self._launched:
            executor.signal(name, WorkerSignal.KILL)
        for executor, name in self._launched:
            self.ended(executor, name)
        for executor in self._executors:
            executor.close()


@pytest.fixture
def workers(cluster: RayCluster, tmp_path: Path) -> Iterator[Workers]:
    made = Workers(cluster, tmp_path)
    yield made
    made.close()


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def launchers(cluster: RayCluster) -> list[psutil.Process]:
    return [p for p in cluster.processes() if any(part.endswith("executors.ray_ranks") for part in p.cmdline())]


def filling() -> str:
    """Returns text that does not compress, for a spec which is nearly the longest that can be handed over."""
    text = secrets.token_urlsafe(MAX_CHARACTERS * 3 // 4 - 1500)
    assert len(pack_spec(text)) > MAX_CHARACTERS - 4000
    return text


def test_a_worker_runs_once_and_is_found_by_its_name(cluster: RayCluster, workers: Workers) -> None:
    executor, other, name = workers.executor(cpus=1), workers.executor(), WorkerName("job-once", 3)
    assert executor.adopt(name) is WorkerStatus.UNKNOWN
    folder = workers.launch(executor, name, seconds=FOREVER, say="grüße", filling=filling())
    (told,) = workers.begun(folder)
    assert told["attempt"] == 3
    assert told["variables"] == {"OMP_NUM_THREADS": "1", "MARKED": f"{Path.home()}-"}
    assert executor.probe(name) is other.adopt(name) is WorkerStatus.ALIVE
    assert executor.list() == other.list() == [name]
    workers.launch(other, name, seconds=FOREVER)
    assert [p.pid for p in cluster.processes() if p.cmdline()[: len(WORKER)] == WORKER] == [told["pid"]]
    until_sync(lambda: "grüße" in executor.read_log(name, 0, 1 << 20).decode(), SECONDS)
    assert executor.read_log(name, -8, 7) == "grüße".encode()
    executor.signal(name, WorkerSignal.TERMINATE)
    workers.ended(executor, name)
    assert other.adopt(name) is WorkerStatus.EXITED
    assert other.list() == []
    # The record stays: the name is not launched again.
    workers.launch(executor, name, seconds=FOREVER)
    assert executor.probe(name) is WorkerStatus.EXITED


def test_a_worker_that_ends_by_itself(workers: Workers) -> None:
    executor = workers.executor(cpus=1)
    names = [WorkerName("job-ends", 1), WorkerName("job-fails", 1)]
    for name, status in zip(names, (0, 7), strict=True):
        workers.launch(executor, name, status=status, say=f"status {status}")
    for name, status in zip(names, (0, 7), strict=True):
        assert f"status {status}\n" in workers.ended(executor, name)


def test_terminate_lets_a_worker_stop_and_kill_does_not_wait_for_ever(workers: Workers) -> None:
    executor = workers.executor(cpus=1, stop_seconds=2)
    willing, stubborn = WorkerName("job-willing", 1), WorkerName("job-stubborn", 1)
    first = workers.launch(executor, willing, seconds=FOREVER)
    second = workers.launch(executor, stubborn, seconds=FOREVER, stubborn=True)
    pids = [workers.begun(folder)[0]["pid"] for folder in (first, second)]
    executor.signal(willing, WorkerSignal.TERMINATE)
    executor.signal(stubborn, WorkerSignal.KILL)
    for name in (willing, stubborn):
        workers.ended(executor, name)
    assert (first / "terminated-0").exists()
    assert (second / "terminated-0").exists()
    until_sync(lambda: not any(lives(pid) for pid in pids))


def test_a_worker_without_room_waits_and_is_stopped_when_it_starts(workers: Workers) -> None:
    executor = workers.executor(cpus=2)
    running = [WorkerName("job-first", 1), WorkerName("job-second", 1)]
    for name in running:
        workers.begun(workers.launch(executor, name, seconds=FOREVER))
    waiting = WorkerName("job-third", 1)
    workers.launch(executor, waiting, seconds=FOREVER)
    assert executor.probe(waiting) is executor.adopt(waiting) is WorkerStatus.UNKNOWN
    assert sorted(executor.list(), key=str) == sorted([*running, waiting], key=str)
    executor.signal(waiting, WorkerSignal.KILL)
    assert executor.probe(waiting) is WorkerStatus.UNKNOWN
    executor.signal(running[0], WorkerSignal.KILL)
    workers.ended(executor, waiting)
    assert executor.probe(running[1]) is WorkerStatus.ALIVE


def test_two_ranks_meet_on_two_nodes_and_stop_together(cluster: RayCluster, workers: Workers) -> None:
    executor, name = workers.executor(cpus=1, threads=2), WorkerName("job-two", 1)
    folder = workers.launch(executor, name, ranks=2, seconds=FOREVER, all_reduce=True, filling=filling())
    told = workers.begun(folder, ranks=2)
    assert [one["sum"] for one in told] == [3.0, 3.0]
    variables = [one["variables"] for one in told]
    assert [v.pop("RANK") for v in variables] == ["0", "1"]
    assert variables[0] == variables[1]
    assert variables[0]["WORLD_SIZE"] == variables[0]["OMP_NUM_THREADS"] == "2"
    # As nice as what a job with one rank runs.
    assert [one["niceness"] for one in told] == [0, 0]
    until_sync(lambda: "[rank 1] hello\n" in executor.read_log(name, 0, 1 << 20).decode(), SECONDS)
    log = executor.read_log(name, 0, 1 << 20).decode()
    assert "\nhello\n" in log
    placed = re.findall(r"rank (\d) is process (\d+) on node (\w+)", log)
    assert [(rank, int(pid)) for rank, pid, _ in placed] == [("0", told[0]["pid"]), ("1", told[1]["pid"])]
    assert {node for *_, node in placed} == cluster.alive()
    executor.signal(name, WorkerSignal.TERMINATE)
    workers.ended(executor, name)
    assert all((folder / f"terminated-{rank}").exists() for rank in (0, 1))
    until_sync(lambda: not launchers(cluster))


def test_when_a_rank_fails_the_other_is_ended(cluster: RayCluster, workers: Workers) -> None:
    executor, name = workers.executor(cpus=1, grace_seconds=1), WorkerName("job-one-fails", 1)
    # They meet first: a rank that is ended before it could tell of itself would be waited for in vain.
    spec = {"seconds": [FOREVER, 0], "status": [0, 7], "stubborn": True, "all_reduce": True}
    folder = workers.launch(executor, name, ranks=2, **spec)
    told = workers.begun(folder, ranks=2)
    assert "rank 1 has ended with status 7" in workers.ended(executor, name)
    assert (folder / "terminated-0").exists()
    until_sync(lambda: not launchers(cluster) and not lives(told[0]["pid"]))


def test_when_a_node_dies_its_workers_have_ended(cluster: RayCluster, workers: Workers) -> None:
    executor = workers.executor(cpus=1)
    pair, *single = WorkerName("job-pair", 1), WorkerName("job-here", 1), WorkerName("job-there", 1)
    folder = workers.launch(executor, pair, ranks=2, seconds=FOREVER, stubborn=True)
    pids = [one["pid"] for one in workers.begun(folder, ranks=2)]
    alone = {name: workers.launch(executor, name, seconds=FOREVER) for name in single}
    pid_of = {name: workers.begun(of)[0]["pid"] for name, of in alone.items()}
    cluster.nodes[1].kill()
    assert "is lost" in workers.ended(executor, pair)
    until_sync(lambda: not launchers(cluster) and not any(lives(pid) for pid in pids))
    # The two nodes had room for one more each.
    until_sync(lambda: any(executor.probe(name) is WorkerStatus.EXITED for name in single), SECONDS)
    (lost,) = [name for name in single if executor.probe(name) is WorkerStatus.EXITED]
    assert not lives(pid_of[lost])
    assert executor.list() == [name for name in single if name != lost]
    assert "node" in executor.read_log(lost, 0, 1 << 20).decode()


def test_when_the_head_dies_ray_is_out_of_reach_and_its_workers_end(cluster: RayCluster, workers: Workers) -> None:
    executor, name = workers.executor(cpus=1), WorkerName("job-on-head", 1)
    (told,) = workers.begun(workers.launch(executor, name, seconds=FOREVER, stubborn=True))
    cluster.nodes[0].kill()
    with pytest.raises(Unavailable, match="SYMBIONT_RAY_ADDRESS"):
        executor.probe(name)
    until_sync(lambda: not lives(told["pid"]))
    workers.abandon()
