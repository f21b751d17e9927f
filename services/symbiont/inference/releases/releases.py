"""Gives calls to candidates, watches what both versions do, and takes a candidate back that breaks a rule."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from symbiont.common.errors import (
    FailedPrecondition,
    IntegrityError,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    SymbiontError,
)
from symbiont.common.log import get_logger
from symbiont.common.request_id import current_request_id
from symbiont.engine.row import Floats, HostAnswer, Row
from symbiont.inference.cache import ResponseCache
from symbiont.inference.deadline import Deadline
from symbiont.inference.metrics import InferenceMetrics
from symbiont.inference.ports import Registry, SharedHosts
from symbiont.inference.reference import ModelReference
from symbiont.inference.releases.picking import picks_candidate
from symbiont.inference.releases.shadow import Question, Shadows
from symbiont.inference.releases.trial import Breach, Trial
from symbiont.inference.releases.verdict import verdict
from symbiont.inference.table import RoutingTable
from symbiont.inference.types import ModelVersion, Release, Role, Served

FIRST_DELAY, LARGEST_DELAY = 0.2, 10.0
REGISTRY_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Observation:
    """What was seen of a release, what its alias serves, and whether the candidate takes part now."""

    trial: Trial
    baseline: ModelVersion
    in_use: bool


class Releases:
    """The releases that run, as this process sees them.

    A release that breaks a rule here gets no further call of this process at once; the registry is told until it has
    heard, and through it every other process.
    """

    def __init__(
        self,
        table: RoutingTable,
        registry: Registry,
        hosts: SharedHosts,
        shadows: Shadows,
        metrics: InferenceMetrics,
        cache: ResponseCache | None = None,
    ) -> None:
        self._table = table
        self._registry = registry
        self._hosts = hosts
        self._shadows = shadows
        self._metrics = metrics
        self._cache = cache
        self._trials: dict[str, Trial] = {}
        self._untold: dict[str, Breach] = {}
        self._broken = asyncio.Event()
        table.subscribe(self._forget)

    def role_of(self, reference: ModelReference, routing_key: str | None) -> Role | None:
        """Returns what a call is to the release that runs on its alias; None when it is no part of one.

        Args:
            routing_key: calls with the same key get the same version; empty draws anew; None asks for the version that
                the alias points at, for what is no call of a user.
        """
        if routing_key is None or reference.version:
            return None
        release = self._table.release(reference.model, reference.alias)
        if release is None or self._trial(release).breach:
            return None
        return Role(release, picks_candidate(release, routing_key))

    async def infer_rows(
        self, served: Served, rows: Sequence[Row], question: Question, deadline: Deadline, *, fresh: bool = False
    ) -> HostAnswer:
        """Has the host answer rows, beside their shadows where there are any; see HostClient.infer_rows.

        Args:
            fresh: have them computed, whatever the response cache knows; only where no release runs.
        """
        role = served.role
        if role is None:
            answer = await (self._ask if fresh else self._send)(served.version, rows, deadline)
        else:
            answer = await self._try(served, role, rows, question, deadline)
        # A candidate's failures are judged by its rules; it must go on to be seen until they say so.
        if not (role and role.is_candidate) and any(isinstance(row, NotFound | IntegrityError) for row in answer.rows):
            self._table.doubt(served.version)
        return answer

    def observed(self, name: str) -> Observation:
        """Returns what was seen of a release; NotFound when it does not run, as far as this process knows."""
        for alias in self._table.aliases():
            if alias.release and alias.release.name == name:
                trial = self._trial(alias.release)
                in_use = self._table.is_proven(alias.release.candidate) and not trial.breach
                return Observation(trial, alias.version, in_use)
        raise NotFound(f"{name} does not run, as far as this process knows", field="release")

    async def run(self) -> None:
        """Tells the registry which releases have ended here, until it is cancelled."""
        delay = FIRST_DELAY
        while True:
            await self._broken.wait()
            self._broken.clear()
            for name, breach in list(self._untold.items()):
                if await self._tell(name, breach):
                    self._untold.pop(name, None)
                    delay = FIRST_DELAY
            if self._untold:
                self._broken.set()
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311, no secret depends on it
                delay = min(2 * delay, LARGEST_DELAY)

    async def _try(
        self, served: Served, role: Role, rows: Sequence[Row], question: Question, deadline: Deadline
    ) -> HostAnswer:
        trial, began = self._trial(role.release), time.perf_counter()
        failed, shadowed = True, role.release.shadow and not role.is_candidate
        try:
            if shadowed:
                answer = await self._shadows.answer(trial, served, rows, question, deadline, self._send)
            else:
                answer = await self._send(served.version, rows, deadline)
            failed = any(_is_failure(row, question) for row in answer.rows)
        except asyncio.CancelledError:
            # A caller who gave up says nothing of the version; a deadline that passed does.
            if deadline.end <= time.monotonic():
                self._note(trial, role, failed=True)
            raise
        except ResourceExhausted:
            # Too much was asked of the host: that says nothing of the version either.
            raise
        except SymbiontError:
            self._note(trial, role, failed=True)
            raise
        # What was known would make the version that was asked for longer look the faster one.
        known = self._cache is not None and not answer.times.computed
        self._note(trial, role, failed, None if shadowed or known else time.perf_counter() - began)
        verdicts = [verdict(row, served.bundle) for row in answer.rows]
        trial.note_labels(role.is_candidate, [v.label for v in verdicts if v])
        return answer

    async def _tell(self, name: str, breach: Breach) -> bool:
        """Returns whether the registry need not be told again."""
        try:
            await self._registry.end_release(name, breach.reason, REGISTRY_TIMEOUT_S)
        except (NotFound, FailedPrecondition, InvalidArgument) as exc:
            get_logger().warning("the registry does not end the release", release=name, error=str(exc))
        except SymbiontError as exc:
            get_logger().warning("the registry does not know yet that a release ended", release=name, error=str(exc))
            return False
        return True

    async def _send(self, version: ModelVersion, rows: Sequence[Row], deadline: Deadline) -> HostAnswer:
        if self._cache is None:
            return await self._ask(version, rows, deadline)
        tenant, asked = deadline.tenant_for(version), False

        async def ask(unknown: Sequence[Row]) -> HostAnswer:
            nonlocal asked
            asked = True
            return await self._ask(version, unknown, deadline)

        # Bounds the wait for what another call computes, too.
        async with deadline.bound("infer"):
            answer = await self._cache.infer(tenant, version.base_digest, rows, deadline.priority, ask)
        if not asked:
            self._hosts.count_known(tenant)
        return answer

    async def _ask(self, version: ModelVersion, rows: Sequence[Row], deadline: Deadline) -> HostAnswer:
        return await self._hosts.infer_rows(
            version.base_digest,
            rows,
            timeout_s=deadline.remaining(),
            request_id=current_request_id(),
            tenant=deadline.tenant_for(version),
            is_named=deadline.is_named,
            priority=deadline.priority,
        )

    def _note(self, trial: Trial, role: Role, failed: bool, seconds: float | None = None) -> None:
        trial.note_call(role.is_candidate, failed, seconds)
        part, result = "candidate" if role.is_candidate else "baseline", "failed" if failed else "answered"
        self._metrics.release_calls.labels(part, result).inc()
        if seconds is not None and not failed:
            self._metrics.release_seconds.labels(part).observe(seconds)

    def _take_back(self, trial: Trial, breach: Breach) -> None:
        name = trial.release.name
        self._untold[name] = breach
        self._metrics.releases_broken.labels(breach.rule).inc()
        get_logger().warning("a release broke a rule and is taken back", release=name, reason=breach.reason)
        self._broken.set()

    def _trial(self, release: Release) -> Trial:
        if release.name not in self._trials:
            self._trials[release.name] = Trial(release, self._take_back)
        return self._trials[release.name]

    def _forget(self) -> None:
        names = {release.name for release in self._table.releases()}
        self._metrics.releases.set(len(names))
        for name in self._trials.keys() - names:
            del self._trials[name]
        for name in self._untold.keys() - names:
            del self._untold[name]


def _is_failure(row: Floats | SymbiontError, question: Question) -> bool:
    # Ids that a caller made are the caller's own fault.
    return isinstance(row, SymbiontError) and not (isinstance(row, InvalidArgument) and question.query is None)
