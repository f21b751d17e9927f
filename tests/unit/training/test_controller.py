"""The controller: launches, notices what died, recovers, gives up; it keeps nothing that matters in memory."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from support.registry import tiny_spec
from support.waiting import until
from symbiont.common import background
from symbiont.common.artifacts import ArtifactStore
from symbiont.training import controller as controller_module
from symbiont.training import types
from symbiont.training.controller import Controller
from symbiont.training.executors import WorkerStatus
from symbiont.training.jobs import Jobs
from symbiont.training.notifier import Notifier
from symbiont.training.store import Store
from symbiont.training.types import JobState, WorkerReport


class FakeExecutor:
    """Workers that live until the test says otherwise."""

    def __init__(self) -> None:
        self.status: dict[tuple[str, int], WorkerStatus] = {}
        self.killed: list[tuple[str, int]] = []

    def launch(self, job: str, attempt: int, spec_json: str) -> None:
        self.status[job, attempt] = WorkerStatus.ALIVE

    def probe(self, job: str, attempt: int) -> WorkerStatus:
        return self.status.get((job, attempt), WorkerStatus.UNKNOWN)

    def kill(self, job: str, attempt: int) -> None:
        self.killed.append((job, attempt))
        self.status[job, attempt] = WorkerStatus.EXITED

    def log_path(self, job: str, attempt: int) -> Path:
        return Path(f"{job}-{attempt}.log")


class Setting:
    """A controller with what it works on."""

    def __init__(self, store: Store, artifacts: ArtifactStore, stopping: asyncio.Event, **changes: float) -> None:
        self.store = store
        self.executor = FakeExecutor()
        self.jobs = Jobs(store, artifacts, Notifier(), stopping)
        self.settings = {"max_concurrent_jobs": 1, "max_attempts": 3, "heartbeat_timeout": 60.0, **changes}
        self.controller = self.restarted()

    def restarted(self) -> Controller:
        return Controller(
            self.store,
            self.jobs,
            Notifier(),
            self.executor,
            lambda job: "{}",
            poll_seconds=0.01,
            **self.settings,  # type: ignore[arg-type]
        )

    async def started_job(self) -> str:
        job = (await self.jobs.create(tiny_spec(), "")).id
        await self.controller.step()
        await self.jobs.take(WorkerReport(job, 1, 0, types.Hello(1)))
        return job

    def state(self, job: str) -> JobState:
        return self.store.job(job).state


@pytest.fixture
def setting(registry: Store, artifacts: ArtifactStore, stopping: asyncio.Event) -> Setting:
    return Setting(registry, artifacts, stopping)


async def test_jobs_start_in_order_as_there_is_room(setting: Setting) -> None:
    first, second = [(await setting.jobs.create(tiny_spec(), "")).id for _ in range(2)]
    await setting.controller.step()
    await setting.controller.step()
    assert (setting.state(first), setting.state(second)) == (JobState.STARTING, JobState.QUEUED)
    await setting.jobs.take(WorkerReport(first, 1, 0, types.Hello(1)))
    await setting.jobs.take(WorkerReport(first, 1, 1, types.Failure(types.FailureKind.CODE, "x")))
    await setting.controller.step()
    assert setting.state(second) is JobState.STARTING


async def test_a_lost_worker_is_replaced_until_the_limit(setting: Setting) -> None:
    job = await setting.started_job()
    for attempt in (1, 2):
        setting.executor.status[job, attempt] = WorkerStatus.EXITED
        await setting.controller.step()
        assert setting.store.job(job).attempt == attempt + 1
        assert setting.state(job) is JobState.STARTING
        assert setting.executor.status[job, attempt + 1] is WorkerStatus.ALIVE
    setting.executor.status[job, 3] = WorkerStatus.EXITED
    await setting.controller.step()
    failed = setting.store.job(job)
    assert failed.state is JobState.FAILED
    assert failed.failure is not None
    assert failed.failure.kind is types.FailureKind.INFRA
    changes = [e.body for e in setting.store.events(job, 0) if isinstance(e.body, types.StateChange)]
    assert [c.new_state for c in changes].count(JobState.RECOVERING) == 2


async def test_a_new_controller_adopts_living_workers(setting: Setting) -> None:
    job = await setting.started_job()
    controller = setting.restarted()
    await controller.step()
    assert setting.store.job(job).attempt == 1
    assert setting.state(job) is JobState.RUNNING
    setting.executor.status[job, 1] = WorkerStatus.EXITED
    await controller.step()
    assert setting.store.job(job).attempt == 2


async def test_a_launch_that_never_happened_is_noticed(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    job = (await setting.jobs.create(tiny_spec(), "")).id
    # The controller died between the intent and the launch.
    setting.store.begin_attempt(job)
    await setting.controller.step()
    assert setting.store.job(job).attempt == 1
    monkeypatch.setattr(controller_module, "START_TIMEOUT", timedelta(0))
    await setting.controller.step()
    assert setting.store.job(job).attempt == 2


async def test_a_silent_worker_is_killed_and_replaced(
    registry: Store, artifacts: ArtifactStore, stopping: asyncio.Event
) -> None:
    setting = Setting(registry, artifacts, stopping, heartbeat_timeout=0.05)
    job = await setting.started_job()
    setting.controller.heard_from(job, 1)
    await setting.controller.step()
    assert setting.executor.killed == []
    await asyncio.sleep(0.1)
    await setting.controller.step()
    assert setting.executor.killed == [(job, 1)]
    assert setting.store.job(job).attempt == 2


async def test_a_cancelled_job_whose_worker_died_is_cancelled(setting: Setting) -> None:
    job = await setting.started_job()
    await setting.jobs.cancel(job)
    setting.executor.status[job, 1] = WorkerStatus.EXITED
    await setting.controller.step()
    assert setting.state(job) is JobState.CANCELLED


async def test_the_watch_survives_an_error(
    setting: Setting, stopping: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = (await setting.jobs.create(tiny_spec(), "")).id
    working = setting.executor.launch

    def failing(*_: object) -> None:
        setting.executor.launch = working  # type: ignore[method-assign]
        setting.executor.status[job, 1] = WorkerStatus.EXITED
        raise OSError("no process could be started")

    setting.executor.launch = failing  # type: ignore[method-assign]
    monkeypatch.setattr(background, "RESTART_SECONDS", 0.01)
    async with background.running("scheduling", lambda: setting.controller.run(stopping)):
        await until(lambda: setting.store.job(job).attempt == 2)
