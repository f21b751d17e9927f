"""Keeps every job moving: launches what waits, notices what died, starts it again from its last checkpoint.

It keeps nothing in memory that matters. Launch intent is committed before a launch, workers are found by their names,
and what is active is read from the store at each look: a controller that was killed goes on where it was, and another
one on the same database goes on in its place once its leases have run out.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from symbiont.common.errors import (
    FailedPrecondition,
    IntegrityError,
    NotFound,
    SymbiontError,
    TenantShredded,
    Unavailable,
)
from symbiont.common.log import get_logger
from symbiont.common.tracing import UNTRACED, Tracing
from symbiont.training.executors import Executor, Launch, WorkerName, WorkerSignal, WorkerStatus
from symbiont.training.jobs import Jobs
from symbiont.training.notifier import Notifier, first_of
from symbiont.training.states import ENDING
from symbiont.training.store import ActiveJob, Places, Store
from symbiont.training.types import FailureKind, Job, JobState, WorkerReport, now

REAP_SECONDS = 30.0
Validate = Callable[[Job], None]


@dataclass(frozen=True)
class Rules:
    """How the controller works. `owner` names it among others on the same database, `alone` says that there are none;
    times in seconds."""

    owner: str = "controller"
    alone: bool = True
    places: Places = field(default_factory=Places)
    # A worker of which nothing was heard after this long was never started.
    start_timeout: float = 30.0
    heartbeat_timeout: float = 60.0
    poll_seconds: float = 0.5
    lease_seconds: float = 3.0


class Controller:
    """The scheduler and the watch over workers."""

    def __init__(
        self,
        store: Store,
        jobs: Jobs,
        notifier: Notifier,
        executor: Executor,
        make_spec: Callable[[Job], str],
        rules: Rules = Rules(),
        left_behind: Callable[[WorkerName], Sequence[WorkerReport]] = lambda name: (),
        tracing: Tracing = UNTRACED,
    ) -> None:
        """`make_spec` renders what a worker is told; `left_behind` reads what one that died had still to say."""
        self._store = store
        self._jobs = jobs
        self._notifier = notifier
        self._executor = executor
        self._make_spec = make_spec
        self._rules = rules
        self._left_behind = left_behind
        self._tracing = tracing
        # Since when this controller has worked without an error: silence before that may be its own deafness.
        self._well_since = now()
        self._adopted_all = False
        # Launches whose place could not be reached: they are repeated, which launches nothing twice.
        self._unlaunched: dict[WorkerName, Launch] = {}
        # Jobs of which a look has failed: it is told once.
        self._troubled: set[str] = set()
        self._reaped = 0.0

    async def run(self, stopping: asyncio.Event) -> None:
        """Looks after jobs until the service stops; workers go on without it."""
        self._well_since = now()
        while not stopping.is_set():
            news = self._notifier.subscribe(Notifier.QUEUE)
            try:
                await self.step()
                await first_of(news, stopping, within=self._rules.poll_seconds)
            finally:
                self._notifier.forget(Notifier.QUEUE, news)

    async def keep_leases(self, stopping: asyncio.Event) -> None:
        """Prolongs this controller's leases, however long a look takes, until the service stops."""
        while not stopping.is_set():
            await asyncio.to_thread(self._store.renew, self._rules.owner, self._rules.lease_seconds)
            await first_of(stopping, within=self._rules.lease_seconds / 4)

    async def step(self) -> None:
        """Looks once: at what others left, at what is new, at those that have workers, at those that wait for one."""
        await self._adopt()
        for identifier in await asyncio.to_thread(self._store.in_state, JobState.VALIDATING):
            await self._do(identifier, self._jobs.validate(identifier))
        for job in await asyncio.to_thread(self._store.active):
            if job.owner == self._rules.owner:
                await self._do(job.id, self._look_after(job))
        for identifier in await asyncio.to_thread(self._store.past_deadline):
            await self._do(identifier, self._jobs.use_up(identifier, FailureKind.TIMEOUT))
        while job_to_launch := await self._jobs.claim(self._rules.owner, self._rules.lease_seconds, self._rules.places):
            await self._do(job_to_launch.id, self._launch(job_to_launch))
        if time.monotonic() - self._reaped > REAP_SECONDS:
            self._reaped = time.monotonic()
            await self._reap()

    async def _adopt(self) -> None:
        everyone = self._rules.alone and not self._adopted_all
        found = await asyncio.to_thread(
            self._store.adopt, self._rules.owner, self._rules.lease_seconds, everyone=everyone
        )
        self._adopted_all = True
        for job, attempt in found:
            await self._do(job, self._take_over(job, attempt))

    async def _take_over(self, job: str, attempt: int) -> None:
        status = await self._ask(self._executor.adopt, WorkerName(job, attempt))
        get_logger().info("adopted", job=job, attempt=attempt, status=status)
        if status is WorkerStatus.EXITED:
            await self._lost(job, attempt, "its process is gone")

    async def _do(self, identifier: str, work: Awaitable[object]) -> None:
        """Does what a job needs; one of which that fails is left to the next look, and holds up no other."""
        try:
            try:
                await work
            except TenantShredded as exc:
                get_logger().warning("given up", job=identifier, why=str(exc))
                await self._jobs.give_up(identifier)
        except Exception:  # noqa: BLE001, whatever is wrong with one job, the others must go on
            if identifier not in self._troubled:
                get_logger().exception("a job could not be looked after, and is tried again", job=identifier)
            self._troubled.add(identifier)
        else:
            self._troubled.discard(identifier)

    async def _look_after(self, job: ActiveJob) -> None:
        name = WorkerName(job.id, job.attempt)
        status = await self._ask(self._executor.probe, name)
        if status is WorkerStatus.UNKNOWN and name in self._unlaunched:
            await self._try_launch(self._unlaunched[name])
        if status is WorkerStatus.EXITED:
            await self._lost(job.id, job.attempt, "its process is gone")
        elif silence := self._too_silent(job, status):
            await self._kill(name)
            await self._lost(job.id, job.attempt, silence)
        elif _is_over_budget(job, now()):
            await self._jobs.use_up(job.id, FailureKind.BUDGET)

    def _too_silent(self, job: ActiveJob, status: WorkerStatus) -> str:
        """Says why a worker counts as lost; empty when it does not."""
        silence = now() - max(job.heard_time or job.attempt_time, self._well_since)
        seconds = self._rules.heartbeat_timeout
        if job.heard_time is None:
            # It may wait for room, or import: what is there already has at least as long as one that is silent.
            start = self._rules.start_timeout
            seconds = max(seconds, start) if status is WorkerStatus.ALIVE else start
        if silence <= timedelta(seconds=seconds):
            return ""
        return f"it was silent for {seconds:g} s" if job.heard_time else f"nothing was heard of it for {seconds:g} s"

    async def _launch(self, job: Job) -> None:
        get_logger().info("launching", job=job.id, attempt=job.attempt)
        with self._tracing.root("launch", {"symbiont.job": job.id, "symbiont.attempt": job.attempt}):
            await self._try_launch(Launch(WorkerName(job.id, job.attempt), self._make_spec(job), job.spec.ranks))

    async def _try_launch(self, launch: Launch) -> None:
        try:
            await asyncio.to_thread(self._executor.launch, launch)
        except Unavailable as exc:
            if launch.name not in self._unlaunched:
                get_logger().warning("not launched yet", job=launch.name.job, why=str(exc))
            self._unlaunched[launch.name] = launch
        except (SymbiontError, OSError) as exc:
            self._unlaunched.pop(launch.name, None)
            await self._lost(launch.name.job, launch.name.attempt, f"it could not be started: {exc}")
        else:
            self._unlaunched.pop(launch.name, None)

    async def _ask(self, call: Callable[[WorkerName], WorkerStatus], name: WorkerName) -> WorkerStatus:
        """Returns what the executor knows; a place that is out of reach knows nothing."""
        try:
            return await asyncio.to_thread(call, name)
        except Unavailable as exc:
            get_logger().warning("the workers' place is out of reach", job=name.job, why=str(exc))
            return WorkerStatus.UNKNOWN

    async def _kill(self, name: WorkerName) -> None:
        # One that cannot be ended now is refused when it reports, and ended when it is found again.
        with suppress(Unavailable):
            await asyncio.to_thread(self._executor.signal, name, WorkerSignal.KILL)

    async def _lost(self, identifier: str, attempt: int, why: str) -> None:
        name = WorkerName(identifier, attempt)
        # Its last words may be that it has done everything: they count as much as if it had lived to say them again.
        for report in await self._last_words(name):
            try:
                await self._jobs.take(report)
            except (FailedPrecondition, NotFound, IntegrityError) as exc:
                get_logger().info("a last word does not count", job=identifier, attempt=attempt, why=str(exc))
        self._unlaunched.pop(name, None)
        log = self._executor.where(name)
        reason = f"the worker of attempt {attempt} was lost: {why}; its log: {log}"
        if await self._jobs.lose_attempt(identifier, attempt, reason):
            get_logger().warning("worker lost", job=identifier, attempt=attempt, why=why, log=log)

    async def _last_words(self, name: WorkerName) -> Sequence[WorkerReport]:
        try:
            return await asyncio.to_thread(self._left_behind, name)
        except IntegrityError as exc:
            get_logger().warning("the last words cannot be read", job=name.job, attempt=name.attempt, why=str(exc))
            return ()

    async def _reap(self) -> None:
        """Ends workers that nobody waits for any more: of an older attempt, or of a job that has ended."""
        try:
            found = await asyncio.to_thread(self._executor.list)
        except Unavailable:
            return
        for name in found:
            if await self._jobs.is_stray(name.job, name.attempt):
                get_logger().warning("ending a worker that was replaced", job=name.job, attempt=name.attempt)
                await self._kill(name)


def _is_over_budget(job: ActiveJob, time: datetime) -> bool:
    if job.max_seconds is None or job.finishing or job.state in ENDING:
        return False
    return job.used_seconds + (time - job.attempt_time).total_seconds() > job.max_seconds
