"""The controller: launches, notices what died, recovers, gives up; it keeps nothing that matters in memory."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from support.registry import tiny_spec
from support.waiting import until
from symbiont.common import background
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import IntegrityError, NotFound, Unavailable
from symbiont.training import types
from symbiont.training.controller import Controller, Rules
from symbiont.training.executors import Launch, WorkerName, WorkerSignal, WorkerStatus
from symbiont.training.jobs import Jobs
from symbiont.training.notifier import Notifier
from symbiont.training.store import Places, Store
from symbiont.training.types import JobState, WorkerReport


class FakeExecutor:
    """Workers that live until the test says otherwise."""

    def __init__(self) -> None:
        self.status: dict[WorkerName, WorkerStatus] = {}
        self.launched: list[Launch] = []
        self.killed: list[WorkerName] = []
        self.adopted: list[WorkerName] = []
        self.away = False

    def launch(self, launch: Launch) -> None:
        if self.away:
            raise Unavailable("the cluster cannot be reached")
        self.launched.append(launch)
        self.status[launch.name] = WorkerStatus.ALIVE

    def probe(self, name: WorkerName) -> WorkerStatus:
        return self.status.get(name, WorkerStatus.UNKNOWN)

    def adopt(self, name: WorkerName) -> WorkerStatus:
        self.adopted.append(name)
        return self.status.get(name, WorkerStatus.EXITED)

    def signal(self, name: WorkerName, signal: WorkerSignal) -> None:
        assert signal is WorkerSignal.KILL
        self.killed.append(name)
        self.status[name] = WorkerStatus.EXITED

    def list(self) -> "list[WorkerName]":
        return [name for name, status in self.status.items() if status is WorkerStatus.ALIVE]

    def where(self, name: WorkerName) -> str:
        return f"{name.job}-{name.attempt}.log"


class Setting:
    """A controller with what it works on."""

    def __init__(self, store: Store, artifacts: ArtifactStore, **rules: Any) -> None:
        self.store = store
        store.max_lost = 3
        self.executor = FakeExecutor()
        self.jobs = Jobs(store, artifacts, Notifier(), price_per_rank_hour=3600.0)
        self.rules = Rules(poll_seconds=0.01, **rules)
        self.controller = self.another()

    def another(self, **changes: Any) -> Controller:
        rules = replace(self.rules, **changes)
        return Controller(self.store, self.jobs, Notifier(), self.executor, lambda job: "{}", rules)  # type: ignore[arg-type]

    async def job(self, **terms: Any) -> str:
        return (await self.jobs.create(tiny_spec(), "", types.Terms(**terms))).id

    async def started_job(self, **terms: Any) -> str:
        job = await self.job(**terms)
        await self.controller.step()
        await self.jobs.take(WorkerReport(job, 1, 0, types.Hello(1)))
        return job

    def state(self, job: str) -> JobState:
        return self.store.job(job).state


@pytest.fixture
def setting(registry: Store, artifacts: ArtifactStore) -> Setting:
    return Setting(registry, artifacts)


async def test_jobs_start_in_order_as_there_is_room(setting: Setting) -> None:
    first, second = [await setting.job() for _ in range(2)]
    await setting.controller.step()
    await setting.controller.step()
    assert (setting.state(first), setting.state(second)) == (JobState.STARTING, JobState.QUEUED)
    await setting.jobs.take(WorkerReport(first, 1, 0, types.Hello(1)))
    await setting.jobs.take(WorkerReport(first, 1, 1, types.Failure(types.FailureKind.CODE, "x")))
    await setting.controller.step()
    assert setting.state(second) is JobState.STARTING


async def test_a_lost_worker_is_replaced_until_the_limit(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("symbiont.training.store.reports.timedelta", lambda **_: timedelta(0))
    job = await setting.started_job()
    for attempt in (1, 2):
        setting.executor.status[WorkerName(job, attempt)] = WorkerStatus.EXITED
        await setting.controller.step()
        assert setting.store.job(job).attempt == attempt + 1
        assert setting.state(job) is JobState.STARTING
        assert setting.executor.status[WorkerName(job, attempt + 1)] is WorkerStatus.ALIVE
    setting.executor.status[WorkerName(job, 3)] = WorkerStatus.EXITED
    await setting.controller.step()
    failed = setting.store.job(job)
    assert failed.state is JobState.FAILED
    assert failed.failure is not None
    assert failed.failure.kind is types.FailureKind.INFRA
    changes = [e.body for e in setting.store.events(job, 0) if isinstance(e.body, types.StateChange)]
    assert [c.new_state for c in changes].count(JobState.RECOVERING) == 2


async def test_a_new_controller_adopts_living_workers(setting: Setting) -> None:
    job = await setting.started_job()
    controller = setting.another(owner="after the restart")
    await controller.step()
    assert setting.executor.adopted == [WorkerName(job, 1)]
    assert setting.store.job(job).attempt == 1
    assert setting.state(job) is JobState.RUNNING
    setting.executor.status[WorkerName(job, 1)] = WorkerStatus.EXITED
    await controller.step()
    assert setting.store.job(job).attempt == 2


async def test_a_launch_that_never_happened_is_noticed_at_once_by_the_next_controller(setting: Setting) -> None:
    job = await setting.job()
    # The controller died between the intent and the launch.
    await setting.jobs.validate(job)
    assert await setting.jobs.claim("the dead one", 60, Places())
    await setting.another(owner="the next one").step()
    assert setting.store.job(job).attempt == 2
    assert [launch.name for launch in setting.executor.launched] == [WorkerName(job, 2)]


async def test_a_worker_that_is_never_seen_is_given_up(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    job = await setting.job()
    monkeypatch.setattr(setting.executor, "launch", lambda launch: None)
    await setting.controller.step()
    await setting.controller.step()
    assert setting.store.job(job).attempt == 1
    await setting.another(start_timeout=0).step()
    assert setting.store.job(job).attempt == 2


async def test_one_that_is_out_of_sight_and_reports_is_left_alone(setting: Setting) -> None:
    job = await setting.started_job()
    del setting.executor.status[WorkerName(job, 1)]
    await setting.another(start_timeout=0).step()
    assert setting.state(job) is JobState.RUNNING


async def test_a_silent_worker_is_killed_and_replaced(registry: Store, artifacts: ArtifactStore) -> None:
    setting = Setting(registry, artifacts, heartbeat_timeout=0.3)
    job = await setting.started_job()
    await setting.controller.step()
    assert setting.executor.killed == []
    await asyncio.sleep(0.35)
    await setting.controller.step()
    assert setting.executor.killed == [WorkerName(job, 1)]
    assert setting.store.job(job).attempt == 2


async def test_silence_while_the_controller_was_deaf_does_not_count(registry: Store, artifacts: ArtifactStore) -> None:
    setting = Setting(registry, artifacts, heartbeat_timeout=0.3)
    await setting.started_job()
    await asyncio.sleep(0.35)
    # As after an error of the store: `run` begins anew.
    stopping = asyncio.Event()
    task = asyncio.create_task(setting.controller.run(stopping))
    await asyncio.sleep(0.1)
    stopping.set()
    await task
    assert setting.executor.killed == []


async def test_a_cancelled_job_whose_worker_died_is_cancelled(setting: Setting) -> None:
    job = await setting.started_job()
    await setting.jobs.cancel(job)
    setting.executor.status[WorkerName(job, 1)] = WorkerStatus.EXITED
    await setting.controller.step()
    assert setting.state(job) is JobState.CANCELLED


async def test_workers_that_were_replaced_are_ended(setting: Setting) -> None:
    job = await setting.started_job()
    setting.executor.status |= dict.fromkeys((WorkerName(job, 0), WorkerName("job-gone", 3)), WorkerStatus.ALIVE)
    await setting.another().step()
    assert set(setting.executor.killed) == {WorkerName(job, 0), WorkerName("job-gone", 3)}


async def test_another_controllers_jobs_are_its_own_until_its_lease_runs_out(setting: Setting) -> None:
    job = await setting.job()
    await setting.jobs.validate(job)
    assert await setting.jobs.claim("the other", 0.3, Places())
    second = setting.another(owner="second", alone=False)
    await second.step()
    assert setting.executor.adopted == []
    await asyncio.sleep(0.35)
    await second.step()
    assert setting.executor.adopted == [WorkerName(job, 1)]
    assert setting.store.job(job).attempt == 2


async def test_leases_are_kept_while_a_look_takes_long(setting: Setting) -> None:
    first = setting.another(owner="first", alone=False, lease_seconds=0.4)
    await setting.job()
    await first.step()
    stopping = asyncio.Event()
    keeping = asyncio.create_task(first.keep_leases(stopping))
    await asyncio.sleep(0.6)
    await setting.another(owner="second", alone=False).step()
    assert setting.executor.adopted == []
    stopping.set()
    await keeping


async def test_a_place_that_cannot_be_reached_is_tried_again(setting: Setting) -> None:
    job = await setting.job()
    setting.executor.away = True
    await setting.controller.step()
    await setting.controller.step()
    # The attempt is the same: it costs nothing to wait until the place is back.
    assert (setting.state(job), setting.store.job(job).attempt) == (JobState.STARTING, 1)
    setting.executor.away = False
    await setting.controller.step()
    assert [launch.name for launch in setting.executor.launched] == [WorkerName(job, 1)]


async def test_a_place_out_of_reach_costs_no_worker(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    job = await setting.started_job()

    def away(*_: object) -> Any:
        raise Unavailable("the cluster cannot be reached")

    for call in ("probe", "adopt", "list", "signal"):
        monkeypatch.setattr(setting.executor, call, away)
    await setting.another(owner="after the restart").step()
    assert (setting.state(job), setting.store.job(job).attempt) == (JobState.RUNNING, 1)


async def test_a_launch_that_fails_for_good_is_another_attempt(setting: Setting, monkeypatch: Any) -> None:
    job = await setting.job()

    def refused(launch: Launch) -> None:
        raise OSError("no process could be started")

    monkeypatch.setattr(setting.executor, "launch", refused)
    await setting.controller.step()
    # Twice at once, and then it waits.
    assert (setting.state(job), setting.store.job(job).attempt) == (JobState.RECOVERING, 2)
    (last,) = setting.store.events(job, 0)[-1:]
    assert isinstance(last.body, types.StateChange)
    assert "could not be started: no process could be started" in last.body.reason


async def test_a_budget_ends_the_training_and_not_the_work(setting: Setting) -> None:
    job = await setting.started_job(budget=types.Budget(training_seconds=0.2))
    await setting.controller.step()
    assert setting.store.job(job).finishing == ""
    await asyncio.sleep(0.25)
    await setting.controller.step()
    found = setting.store.job(job)
    assert (found.state, found.finishing) == (JobState.RUNNING, "BUDGET")


async def test_a_budget_of_cost_is_one_of_time_and_ranks(setting: Setting) -> None:
    # 3600 a rank and hour is 1 a rank and second.
    job = await setting.started_job(budget=types.Budget(cost=0.2))
    await asyncio.sleep(0.25)
    await setting.controller.step()
    assert setting.store.job(job).finishing == "BUDGET"


async def test_a_deadline_ends_what_still_waits(setting: Setting) -> None:
    await setting.started_job()
    late = await setting.job(budget=types.Budget(deadline_seconds=0.05))
    await setting.controller.step()
    await asyncio.sleep(0.1)
    await setting.controller.step()
    failure = setting.store.job(late).failure
    assert failure is not None
    assert failure.kind is types.FailureKind.TIMEOUT
    assert failure.message.startswith("the deadline of 0.05 s after its creation has passed")


async def test_the_watch_survives_an_error(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    job = await setting.job()
    working = setting.store.active
    failures = iter([ValueError("a bug"), ValueError("again")])

    def failing() -> Any:
        if error := next(failures, None):
            raise error
        return working()

    monkeypatch.setattr(setting.store, "active", failing)
    monkeypatch.setattr(background, "RESTART_SECONDS", 0.01)
    async with background.running("scheduling", lambda: setting.controller.run(asyncio.Event())):
        await until(lambda: setting.state(job) is JobState.STARTING)


async def test_the_last_words_of_a_dead_worker_count(setting: Setting) -> None:
    job = await setting.started_job()
    evaluation = types.Evaluation(1, 1.0, 1.0, 0.1, ("bad", "good"), ((1, 0), (0, 0)))
    await setting.jobs.take(WorkerReport(job, 1, 1, types.EvaluationStarted()))
    # It had said the first of these already, and was killed before the others were heard.
    said = [types.EvaluationStarted(), evaluation, types.Done("b" * 64)]
    left = [WorkerReport(job, 1, seq, report) for seq, report in enumerate(said, start=1)]
    setting.executor.status[WorkerName(job, 1)] = WorkerStatus.EXITED
    controller = Controller(
        setting.store,
        setting.jobs,
        Notifier(),
        setting.executor,
        lambda job: "{}",
        setting.rules,
        lambda name: left,  # type: ignore[arg-type]
    )
    await controller.step()
    assert setting.state(job) is JobState.SUCCEEDED
    ids = [event.id for event in setting.store.events(job, 0)]
    assert ids == list(range(1, len(ids) + 1))


async def test_a_job_that_cannot_be_looked_after_holds_up_no_other(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = await setting.started_job()
    setting.executor.status[WorkerName(broken, 1)] = WorkerStatus.EXITED
    late, waiting = await setting.job(budget=types.Budget(deadline_seconds=0.01)), await setting.job()
    lose = setting.store.lose_attempt

    def failing(identifier: str, *args: Any) -> Any:
        if identifier == broken:
            raise ValueError("a bug")
        return lose(identifier, *args)

    monkeypatch.setattr(setting.store, "lose_attempt", failing)
    await asyncio.sleep(0.02)
    controller = setting.another(places=Places(2))
    for _ in range(2):
        await controller.step()
    assert [setting.state(job) for job in (broken, late, waiting)] == [
        JobState.RUNNING,
        JobState.FAILED,
        JobState.STARTING,
    ]
    monkeypatch.undo()
    await controller.step()
    assert setting.store.job(broken).attempt == 2


async def test_a_launch_that_cannot_be_prepared_holds_up_no_other(setting: Setting) -> None:
    first, second = [await setting.job() for _ in range(2)]

    def make_spec(job: types.Job) -> str:
        if job.id == first:
            raise ValueError("a bug")
        return "{}"

    rules = replace(setting.rules, places=Places(2))
    controller = Controller(setting.store, setting.jobs, Notifier(), setting.executor, make_spec, rules)  # type: ignore[arg-type]
    await controller.step()
    assert [launch.name.job for launch in setting.executor.launched] == [second]


async def test_last_words_of_what_is_gone_are_not_waited_for(registry: Store, artifacts: ArtifactStore) -> None:
    setting = Setting(registry, artifacts)

    def nothing_there(digest: str, job: str) -> None:
        raise NotFound(f"bundles/{digest} does not exist")

    setting.jobs = Jobs(registry, artifacts, Notifier(), vouch=nothing_there)
    setting.controller = setting.another()
    job = await setting.started_job()
    await setting.jobs.take(WorkerReport(job, 1, 1, types.EvaluationStarted()))
    setting.executor.status[WorkerName(job, 1)] = WorkerStatus.EXITED
    controller = Controller(
        registry,
        setting.jobs,
        Notifier(),
        setting.executor,
        lambda job: "{}",
        setting.rules,
        lambda name: [WorkerReport(job, 1, 2, types.Done("b" * 64))],  # type: ignore[arg-type]
    )
    await controller.step()
    assert registry.job(job).attempt == 2


async def test_last_words_that_cannot_be_read_are_none(setting: Setting) -> None:
    job = await setting.started_job()
    setting.executor.status[WorkerName(job, 1)] = WorkerStatus.EXITED

    def damaged(name: WorkerName) -> Any:
        raise IntegrityError("an encrypted text was damaged")

    rules = setting.rules
    args = setting.store, setting.jobs, Notifier(), setting.executor, lambda job: "{}", rules, damaged
    await Controller(*args).step()  # type: ignore[arg-type]
    assert setting.store.job(job).attempt == 2


@pytest.mark.parametrize("cancelled", [False, True], ids=["EVALUATING", "CANCELLING"])
@pytest.mark.parametrize("limit", [{"training_seconds": 0.01}, {"deadline_seconds": 60}], ids=["budget", "deadline"])
async def test_what_is_past_its_limit_and_ends_anyway_wakes_nobody(
    setting: Setting, limit: dict[str, float], cancelled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting.jobs._notifier = notifier = Notifier()
    job = await setting.started_job(budget=types.Budget(**limit))
    await (setting.jobs.cancel(job) if cancelled else setting.jobs.take(_reports(job, types.EvaluationStarted())))
    monkeypatch.setattr("symbiont.training.store.queue.now", lambda: types.now() + timedelta(seconds=90))
    await asyncio.sleep(0.02)
    news = notifier.subscribe(Notifier.QUEUE)
    await setting.controller.step()
    assert not news.is_set()
    assert setting.store.job(job).finishing == ""


def _reports(job: str, report: types.Report) -> WorkerReport:
    return WorkerReport(job, 1, 1, report)
