"""Training jobs as callers see them: checked, queued, watched, cancelled."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from functools import partial
from typing import TypeVar

from symbiont.bundle.store import KIND as BUNDLES
from symbiont.common.access.views import owner_of
from symbiont.common.artifacts import ArtifactStore, canonical_json
from symbiont.common.errors import FailedPrecondition, InvalidArgument, NotFound, TenantShredded
from symbiont.common.resources import parse_version_name
from symbiont.training.checking import check_owner, check_request_id, check_terms, missing, plan_key, whole
from symbiont.training.evaluations import KIND as EVALUATIONS
from symbiont.training.feed import Feed
from symbiont.training.notifier import Notifier
from symbiont.training.resolving import SPEC, resolve
from symbiont.training.resolving_bases import with_tokenizer
from symbiont.training.spec import TrainingSpec
from symbiont.training.starting import find_start
from symbiont.training.states import ACTIVE
from symbiont.training.storage import RoomOf, any_room
from symbiont.training.store import Places, ShreddedJob, Store
from symbiont.training.types import (
    NO_TENANT,
    Budget,
    Checkpoint,
    CheckpointSaved,
    Compared,
    Done,
    Event,
    Failure,
    FailureKind,
    Inputs,
    Job,
    JobQuery,
    JobState,
    Reproduction,
    Stopped,
    Terms,
    WorkerReport,
    now,
)

T = TypeVar("T")
# A worker whose last word was heard closes its files and goes.
LAST_MOMENTS = timedelta(seconds=60)


class Jobs:
    """The jobs of the registry. Database work runs in threads, notifications on the event loop."""

    def __init__(
        self,
        store: Store,
        artifacts: ArtifactStore,
        notifier: Notifier,
        *,
        price_per_rank_hour: float = 0.0,
        succeeded: Callable[[Job], None] = lambda job: None,
        lost: Callable[[], None] = lambda: None,
        packages_here: bool = False,
        vouch: Callable[[str, str], None] | None = None,
        room: RoomOf = any_room,
    ) -> None:
        """`succeeded` is called once for each job that does, `lost` for each worker that is.

        `vouch` signs a bundle as that of a job, see `Vouching`; None signs nothing.

        `packages_here` says whether workers use the packages that are installed here; `room` is what the owner of a
        job may store.
        """
        self._room = room
        self._packages_here = packages_here
        self._vouch = vouch
        self._succeeded = succeeded
        self._lost = lost
        self._store = store
        self._artifacts = artifacts
        self._notifier = notifier
        self._price = price_per_rank_hour
        self.feed = Feed(self._events, notifier)

    async def create(
        self,
        spec: TrainingSpec,
        request_id: str,
        terms: Terms = Terms(),  # noqa: B008, frozen
        principal: str = "",
    ) -> Job:
        """Checks a spec and its terms against the registry, and adds the job, which `principal` asks for.

        Raises:
            InvalidArgument, NotFound, FailedPrecondition, PermissionDenied: it cannot be done; the message says why.
            AlreadyExists: the request id was used for another job.
            ResourceExhausted: its owner has no room for what it would make.
        """
        check_request_id(request_id)
        check_terms(terms, self._price)
        check_owner(spec)
        asked = {"spec": spec.model_dump(mode="json"), "terms": asdict(terms)}
        digest = hashlib.sha256(canonical_json(asked)).hexdigest()

        def add() -> tuple[Job, bool]:
            if made := self._store.made_before(request_id, digest):
                return made, False
            self._room(spec.dataset).check()
            resolved, inputs = self._resolve(spec, terms)
            planned = self._store.planned_seconds(plan_key(resolved, inputs))
            return self._store.add_job(
                resolved,
                inputs,
                request_id,
                digest,
                terms,
                price=self._price,
                estimated_seconds=planned,
                principal=principal,
            )

        job, _ = await asyncio.to_thread(add)
        self._notifier.notify(Notifier.QUEUE)
        return job

    async def reproduce(self, model: str, number: int, request_id: str, principal: str = "") -> Job:
        """Adds a job that does again what made a version, from the same bytes.

        Raises:
            NotFound: no such version.
            FailedPrecondition: what it was made of is not there any more.
            ResourceExhausted: its owner has no room for what it would make.
        """

        check_request_id(request_id)

        def add() -> Job:
            version = self._store.version(model, number)
            made = self._store.job(version.job)
            base = self._store.base(made.spec.base_model.removeprefix("bases/"))
            base.terms.check(made.spec.base_model, owner_of(made.spec.dataset), "name")
            if gone := missing(self._artifacts, made):
                raise FailedPrecondition(f"{version.name} cannot be made again: {gone.message}", reason="INPUTS_GONE")
            digest = hashlib.sha256(canonical_json({"reproduces": version.name})).hexdigest()
            if standing := self._store.made_before(request_id, digest):
                return standing
            self._room(model).check()
            terms = Terms(tenant=made.terms.tenant)
            job, _ = self._store.add_job(
                made.spec,
                made.inputs,
                request_id,
                digest,
                terms,
                price=self._price,
                reproduces=version,
                principal=principal,
            )
            return job

        job = await asyncio.to_thread(add)
        self._notifier.notify(Notifier.QUEUE)
        return job

    async def check(self, spec: TrainingSpec, terms: Terms = Terms()) -> Job:  # noqa: B008, frozen
        """Checks what `create` would, and returns the job that it would add, without an id."""
        check_terms(terms, self._price)
        check_owner(spec)
        (await asyncio.to_thread(self._room, spec.dataset)).check()
        resolved, inputs = await asyncio.to_thread(self._resolve, spec, terms)
        return Job("", resolved, inputs, JobState.VALIDATING, terms=terms)

    def _resolve(self, spec: TrainingSpec, terms: Terms) -> tuple[TrainingSpec, Inputs]:
        start = find_start(spec, self._store, self._artifacts, SPEC)
        resolved, inputs = resolve(
            spec,
            self._store,
            start,
            judged=terms.budget != Budget(),
            packages_here=self._packages_here,
            tenant="" if terms.tenant == NO_TENANT else terms.tenant,
        )
        return resolved, with_tokenizer(resolved, inputs, self._store, self._artifacts, SPEC)

    async def get(self, identifier: str) -> Job:
        """Returns a job."""
        return await asyncio.to_thread(self._store.job, identifier)

    async def checkpoints(self, identifier: str) -> Sequence[Checkpoint]:
        """Returns the checkpoints of a job that are kept."""
        return await asyncio.to_thread(self._store.checkpoints, identifier)

    async def list(self, query: JobQuery, after: int | None, limit: int) -> Sequence[tuple[int, Job]]:
        """Returns jobs in the order of the query, each with the number by which the next page goes on."""
        return await asyncio.to_thread(self._store.jobs, query, after, limit)

    async def cancel(self, identifier: str, *, keep: bool = False) -> Job:
        """Cancels a job: at once while it waits, at its next step while it trains."""
        change = partial(self._store.cancel, identifier, "a caller cancelled it", keep=keep)
        return await self._change_job(identifier, change)

    async def pause(self, identifier: str) -> Job:
        """Pauses a job: at once while it waits, after a checkpoint while it trains."""
        return await self._change_job(identifier, partial(self._store.pause, identifier, "a caller paused it"))

    async def resume(self, identifier: str) -> Job:
        """Queues a paused job again."""
        return await self._change_job(identifier, partial(self._store.resume, identifier, "a caller resumed it"))

    async def use_up(self, identifier: str, kind: FailureKind) -> Job:
        """Ends the training of a job whose budget or time is over."""
        return await self._change_job(identifier, partial(self._store.use_up, identifier, kind))

    async def validate(self, identifier: str) -> Job:
        """Checks what a new job works on, byte by byte, and queues it or ends it."""

        def check() -> Job:
            return self._store.validated(identifier, whole(self._artifacts, self._store.job(identifier)))

        return await self._change_job(identifier, check)

    async def take(self, message: WorkerReport) -> Job:
        """Applies a worker's report."""
        before = None
        if isinstance(message.report, Done):
            standing = await self.get(message.job)
            before = standing.state
            if self._vouch and message.report.bundle_digest and _is_current(message, standing):
                await asyncio.to_thread(self._vouch, message.report.bundle_digest, self._maker(standing))
            if standing.reproduction:
                message = await asyncio.to_thread(self._compared, message, message.report, standing.reproduction)
        job = await self._change_job(message.job, partial(self._store.take, message), wake=_changes_much(message))
        # A last word that is said again changes nothing.
        if before not in (None, job.state) and job.state is JobState.SUCCEEDED:
            self._succeeded(job)
        return job

    def _maker(self, job: Job) -> str:
        """Returns the job that a bundle of a job names as its own."""
        if not job.reproduction:
            return job.id
        return self._store.version(*parse_version_name("model_version", job.reproduction.model_version)).job

    def _compared(self, message: WorkerReport, done: Done, asked: Reproduction) -> WorkerReport:
        """Compares what came out with the version, and removes what is not the version's own."""
        version = self._store.version(*parse_version_name("model_version", asked.model_version))
        bundles = version.bundle_digest, done.bundle_digest
        weights = [self._artifacts.manifest(BUNDLES, digest).get("files") for digest in bundles]
        same = Compared(bundles[0] == bundles[1], weights[0] == weights[1] and version.base_digest == done.base_digest)
        if not same.same_bundle:
            self._artifacts.delete(BUNDLES, done.bundle_digest)
        if done.evaluation_digest not in ("", version.evaluation_digest):
            self._artifacts.delete(EVALUATIONS, done.evaluation_digest)
        return replace(message, report=replace(done, compared=same))

    async def claim(self, owner: str, lease_seconds: float, places: Places) -> Job | None:
        """Gives the next job that waits a place, and commits the intent to launch it; None where there is none.

        A job whose data has gone since it was queued ends here.
        """
        while job := await self._claimed(owner, lease_seconds, places):
            failure = await asyncio.to_thread(missing, self._artifacts, job)
            self._notifier.notify(job.id)
            if failure is None:
                return job
            report = WorkerReport(job.id, job.attempt, 1, failure)
            await self._change_job(job.id, partial(self._store.take, report))
        return None

    async def _claimed(self, owner: str, lease_seconds: float, places: Places) -> Job | None:
        while True:
            try:
                return await asyncio.to_thread(self._store.claim, owner, lease_seconds, places)
            except ShreddedJob as exc:
                await self.give_up(*exc.args)

    async def give_up(self, identifier: str) -> None:
        """Ends a job of a tenant whose keys were destroyed."""
        await self._change_job(identifier, partial(self._store.give_up, identifier))

    async def lose_attempt(self, identifier: str, attempt: int, reason: str) -> Job | None:
        """Records that a worker is gone; None when its last report came first."""
        job = await self._change_job(identifier, partial(self._store.lose_attempt, identifier, attempt, reason))
        if job:
            self._lost()
        return job

    async def is_stray(self, identifier: str, attempt: int) -> bool:
        """Whether a worker is of an older attempt, or of a job that ended so long ago that it should be gone."""
        try:
            job = await self.get(identifier)
        except (NotFound, TenantShredded):
            return True
        gone = job.end_time is not None and now() - job.end_time > LAST_MOMENTS
        return job.attempt > attempt or gone

    async def _change_job(self, identifier: str, change: Callable[[], T], *, wake: bool = True) -> T:
        """Runs a store operation on a job in a thread, then wakes whoever watches the job, and the scheduler."""
        result = await asyncio.to_thread(change)
        self._notifier.notify(identifier)
        if wake:
            self._notifier.notify(Notifier.QUEUE)
        return result

    async def events(self, identifier: str, after: int, limit: int = 500) -> Sequence[Event]:
        """Returns the events of a job after an id, in order."""
        if after < 0:
            raise InvalidArgument("after_event_id", f"{after} is negative")
        await self.get(identifier)
        return await asyncio.to_thread(self._store.events, identifier, after, limit)

    async def _events(self, identifier: str, after: int) -> Sequence[Event]:
        return await asyncio.to_thread(self._store.events, identifier, after)

    async def watch(self, identifier: str, after: int) -> AsyncIterator[Event]:
        """Yields the events of a job after an id, until the job has ended or the service stops."""
        if after < 0:
            raise InvalidArgument("after_event_id", f"{after} is negative")
        job = await self.get(identifier)
        if job.state.ended and after >= job.last_event:
            return
        async for event in self.feed.watch(identifier, after):
            yield event


def _changes_much(message: WorkerReport) -> bool:
    """Whether the scheduler should look at once: what only tells how far a job is does not concern it."""
    return isinstance(message.report, Failure | Stopped | Done | CheckpointSaved)


def _is_current(message: WorkerReport, job: Job) -> bool:
    """Whether a report is of the attempt that runs, as the registry finds again when it takes it."""
    return message.attempt == job.attempt and job.state in ACTIVE
