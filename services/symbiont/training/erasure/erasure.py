"""Forgets a subject: finds, writes what is left, lets the registry point at that, and then removes.

Until the registry is written nothing is lost, and what was written beside it is written again by the next call. From
then on the record says what is still to be removed, and the next call, or start of the service, removes it.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from symbiont.common.access.tenancy import listed_owner
from symbiont.common.access.views import sees
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import FailedPrecondition, InvalidArgument, SymbiontError, TenantShredded, Unavailable
from symbiont.common.log import get_logger
from symbiont.common.principal import current_principal
from symbiont.training.checking import check_request_id
from symbiont.training.data.rows import KIND
from symbiont.training.erasure.finding import earlier, find, find_rows, touched
from symbiont.training.erasure.rewriting import Rewritten, rewrite
from symbiont.training.erasure.types import Forgotten, Rows, digest_of
from symbiont.training.gate.gate import DataGate
from symbiont.training.jobs import Jobs
from symbiont.training.store import Store
from symbiont.training.store.erasures import Erasure, Request, latest
from symbiont.training.types import Dataset, Job, ModelVersion

MOST_LETTERS = 4096


class Forgetting:
    """The erasures of this service, one at a time, while no dataset is made or removed."""

    def __init__(self, store: Store, artifacts: ArtifactStore, jobs: Jobs, gate: DataGate) -> None:
        self._store = store
        self._artifacts = artifacts
        self._jobs = jobs
        self._gate = gate

    async def forget(self, subject: str, *, dry_run: bool, retrain: bool, request_id: str = "") -> Forgotten:
        """Forgets a subject, or says what would be forgotten.

        A call with the id of an earlier one, or that finishes one, is answered as that one was to be.

        Raises:
            InvalidArgument: it is none, or the id is too long.
            FailedPrecondition: a job that has not ended works on its rows.
            Unavailable: something could not be removed; calling again goes on.
        """
        if not subject or len(subject) > MOST_LETTERS:
            raise InvalidArgument("subject", f"it has {len(subject)} characters, and must have 1 to {MOST_LETTERS}")
        check_request_id(request_id)
        if dry_run:
            return Forgotten(digest_of(subject), await asyncio.to_thread(find, self._store, self._artifacts, subject))
        # A caller that goes does not end it: another would begin while its thread goes on.
        done = await asyncio.shield(asyncio.create_task(self._alone(subject, request_id), name="erasure"))
        return await self._retrained(done) if retrain else done

    async def _alone(self, subject: str, request_id: str) -> Forgotten:
        async with self._gate.alone():
            return await asyncio.to_thread(self._forget, subject, request_id)

    def resume(self) -> None:
        """Removes what calls that broke off were to remove, as far as that is possible; blocks."""
        try:
            self._finish()
        except SymbiontError as exc:
            get_logger().warning("an erasure is not finished: call it again", problem=str(exc))

    def _finish(self) -> list[Erasure]:
        unfinished = [erasure for erasure in self._store.erasures() if erasure.pending]
        for erasure in unfinished:
            self._remove(erasure)
        return unfinished

    def _forget(self, subject: str, request_id: str) -> Forgotten:
        finished = [erasure.number for erasure in self._finish()]
        digest, found = digest_of(subject), find_rows(self._store, self._artifacts, subject)
        if not found:
            return self._answered(digest, request_id, finished)
        left = self._rewrite(found, digest)
        named = {rows.digest: rows.names for rows in found if rows.names}
        replaced = {old: self._dataset(names[0], left[old]) for old, names in named.items()}
        lost = earlier((rows.digest for rows in found), self._store.erasures())
        request = Request(request_id, listed_owner(), tuple((rows.digest, rows.names, rows.numbers) for rows in found))
        removed = [(KIND, rows.digest) for rows in found]
        erasure, users = self._store.erase(digest, replaced, lost, removed, request)
        self._remove(erasure)
        count = sum(len(rows.numbers) for rows in found)
        get_logger().info("a subject was forgotten", erasure=erasure.number, datasets=len(found), rows=count)
        return Forgotten(digest, touched(self._store, found, users), {old: left[old].digest for old in named})

    def _answered(self, subject_digest: str, request_id: str, finished: Sequence[int]) -> Forgotten:
        """Returns what was found by the call that this one makes again, or finishes; of another caller's, nothing."""
        erasures = self._store.erasures()
        for erasure in reversed(erasures):
            request = erasure.request
            if request is None or (erasure.subject_digest, request.owner) != (subject_digest, listed_owner()):
                continue
            if erasure.number in finished or (request_id and request.id == request_id):
                rows = [Rows(*each) for each in request.rows]
                users = self._store.users_of(earlier((each.digest for each in rows), erasures))
                known = touched(self._store, rows, replace(users, checkpoints=request.checkpoints))
                named = {each.digest for each in rows if each.names}
                return Forgotten(subject_digest, known, {old: erasure.replaced[old] for old in named})
        return Forgotten(subject_digest)

    def _rewrite(self, found: Sequence[Rows], subject_digest: str) -> dict[str, Rewritten]:
        """Stores what is left of the datasets that have a name, what others were made of first."""
        done: dict[str, tuple[Rows, str]] = {}
        left = {}
        for rows in found:
            if rows.names:
                left[rows.digest] = rewrite(self._artifacts, rows, subject_digest, done)
                done[rows.digest] = rows, left[rows.digest].digest
        return left

    def _dataset(self, identifier: str, left: Rewritten) -> Dataset | None:
        return left.of(self._store.dataset(identifier)) if left.digest else None

    def _remove(self, erasure: Erasure) -> None:
        for kind, digest in erasure.pending:
            self._artifacts.delete(kind, digest)
            if self._artifacts.exists(kind, digest):
                raise Unavailable(f"{kind}/{digest} cannot be removed: look at its files, and call again")
        self._store.finish_erasure(erasure)

    async def _retrained(self, done: Forgotten) -> Forgotten:
        """Queues the jobs that train versions again; asked again, they are the same jobs."""
        erasures = await asyncio.to_thread(self._store.erasures)
        queued, refused = list[str](), list[tuple[str, str]]()
        for erasure in (each for each in erasures if each.subject_digest == done.subject_digest):
            for version in await asyncio.to_thread(self._worth_it, erasure):
                try:
                    queued.append(await self._again(erasure, version, erasures))
                except SymbiontError as exc:
                    refused.append((version.name, str(exc)))
        return Forgotten(
            done.subject_digest, done.touched, done.new_digests, tuple(dict.fromkeys(queued)), tuple(refused)
        )

    def _worth_it(self, erasure: Erasure) -> list[ModelVersion]:
        """Returns versions of an erasure, the caller's, that serve under an alias or are the newest of their model."""
        chosen = []
        for model, number in erasure.versions:
            if not sees(model):
                continue
            known = self._store.model(model)
            if number == known.latest_version or number in {alias.version.number for alias in known.aliases}:
                with suppress(TenantShredded):
                    chosen.append(self._store.version(model, number))
        return chosen

    async def _again(self, erasure: Erasure, version: ModelVersion, erasures: Sequence[Erasure]) -> str:
        job = await self._jobs.get(version.job)
        await asyncio.to_thread(self._check_datasets, job, erasures)
        if job.spec.start_from:
            problem = f"it starts from {job.spec.start_from}: train that one again, and start from what comes out"
            raise FailedPrecondition(problem, reason="NOT_RETRAINED")
        # Whoever erases asks for it, and does not approve what it makes.
        request = f"erasure-{erasure.number}-{version.job}"
        made = await self._jobs.create(job.spec, request, job.terms, current_principal().name)
        return made.id

    def _check_datasets(self, job: Job, erasures: Sequence[Erasure]) -> None:
        """Raises where the names of a spec stand for other rows than what is left of those that were learnt."""
        inputs = job.inputs
        for name, digest in (
            (job.spec.dataset, inputs.dataset_digest),
            (job.spec.evaluation_dataset, inputs.evaluation_dataset_digest),
        ):
            if name and self._store.dataset(name.partition("/")[2]).digest != latest(digest, erasures):
                problem = f"{name} has other rows by now: train a version as you want it"
                raise FailedPrecondition(problem, reason="NOT_RETRAINED")
