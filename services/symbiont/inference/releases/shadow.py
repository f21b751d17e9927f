"""A candidate computes rows that another version answers, and the two are compared; callers get nothing of it."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from symbiont.common.errors import DeadlineExceeded, SymbiontError
from symbiont.common.log import get_logger
from symbiont.engine.row import Floats, HostAnswer, Row
from symbiont.inference.bundles import BundleShelf
from symbiont.inference.deadline import Deadline
from symbiont.inference.metrics import InferenceMetrics
from symbiont.inference.releases.disagreements import Disagreement, Disagreements
from symbiont.inference.releases.trial import Trial
from symbiont.inference.releases.verdict import Verdict, verdict
from symbiont.inference.table import RoutingTable
from symbiont.inference.tokens import TokenQuery, Tokens
from symbiont.inference.types import BundleInfo, ModelVersion, Priority, Served

# Calls that wait for a shadow of their own, and how many such shadows run at a time.
MOST_WAITING, AT_ONCE = 8, 2

Values = Sequence[Floats | SymbiontError]
Send = Callable[[ModelVersion, Sequence[Row], Deadline], Awaitable[HostAnswer]]


@dataclass(frozen=True)
class Question:
    """What rows were made of; nothing is known where a caller gave token ids.

    Attributes:
        tokens: the rows, and of which text each is one.
        query: the texts.
        ask: has another version answer the same texts, in rows of its own.
        features: what another bundle makes of the business fields of each text.
    """

    tokens: Tokens | None = None
    query: TokenQuery | None = None
    ask: Callable[[Served, Deadline], Awaitable[Values]] | None = None
    features: Callable[[BundleInfo], Sequence[Floats]] | None = None

    def rows_for(self, rows: Sequence[Row], served: Served, other: Served) -> Sequence[Row] | None:
        """Returns rows that were made for one version as rows of another; None where that one needs rows of its own."""
        if _making(served) != _making(other):
            return None
        digest = other.version.bundle_digest
        if served.bundle.fields == other.bundle.fields:
            return [replace(row, bundle=digest) for row in rows]
        if self.features is None:
            return None
        # Of numbers and dates each training takes mean and deviation from its own rows.
        encoded = self.features(other.bundle)
        return [replace(row, bundle=digest, features=encoded[self._text_of(i)]) for i, row in enumerate(rows)]

    def input_of(self, rows: Sequence[Row], index: int) -> bytes:
        """Returns what a row came of: its text in UTF-8, two of them with a NUL between, or its ids."""
        if self.tokens is None or self.query is None:
            return rows[index].input_ids.astype("<i4").tobytes()
        text = self._text_of(index)
        parts = [texts[text] for texts in (self.query.texts, self.query.pair_texts) if texts]
        return "\0".join(parts).encode()

    def _text_of(self, index: int) -> int:
        return self.tokens.text_of[index] if self.tokens and self.tokens.text_of else index


@dataclass(frozen=True)
class _Job:
    trial: Trial
    served: Served
    other: Served
    rows: Sequence[Row]
    values: Values
    question: Question


class Shadows:
    """Computes and compares the shadows of calls."""

    def __init__(
        self,
        table: RoutingTable,
        bundles: BundleShelf,
        disagreements: Disagreements,
        metrics: InferenceMetrics,
        timeout_s: float,
    ) -> None:
        self._table = table
        self._bundles = bundles
        self._disagreements = disagreements
        self._metrics = metrics
        self._timeout = timeout_s
        self._waiting: asyncio.Queue[_Job] = asyncio.Queue(MOST_WAITING)

    async def answer(
        self, trial: Trial, served: Served, rows: Sequence[Row], question: Question, deadline: Deadline, send: Send
    ) -> HostAnswer:
        """Answers rows by the version that serves, and has the candidate compute them too.

        In the same request where the rows are good for both; else in one of its own after the answer.
        """
        try:
            other = await self._candidate(trial)
        except SymbiontError:
            self._miss(trial, len(rows))
            return await send(served.version, rows, deadline)
        if not _comparable(served.bundle, other.bundle):
            self._miss(trial, len(rows))
            return await send(served.version, rows, deadline)
        if (shadows := question.rows_for(rows, served, other)) is not None:
            return await self._together(trial, served, other, rows, shadows, question, deadline, send)
        answer = await send(served.version, rows, deadline)
        self._put(_Job(trial, served, other, rows, answer.rows, question))
        return answer

    async def run(self) -> None:
        """Computes the shadows that have a request of their own, until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._work())

    async def _candidate(self, trial: Trial) -> Served:
        version = trial.release.candidate
        return Served(version, await self._bundles.of(version))

    async def _together(
        self,
        trial: Trial,
        served: Served,
        other: Served,
        rows: Sequence[Row],
        shadows: Sequence[Row],
        question: Question,
        deadline: Deadline,
        send: Send,
    ) -> HostAnswer:
        try:
            answer = await send(served.version, [*rows, *shadows], deadline)
        except DeadlineExceeded:
            raise
        except SymbiontError as exc:
            # Nobody may fail for what a shadow adds to a request: its size, or a bundle that breaks the host.
            get_logger().warning("a request failed with a shadow and is sent alone", error=str(exc))
            self._miss(trial, len(rows))
            return await send(served.version, rows, deadline)
        own, theirs = answer.rows[: len(rows)], answer.rows[len(rows) :]
        self._compare(trial, served, other, rows, question, own, theirs)
        return replace(answer, rows=own)

    def _put(self, job: _Job) -> None:
        query = job.question.query
        # Windows of another tokenizer are other parts of the text: there is nothing to compare.
        if query is None or query.stride is not None or self._waiting.full():
            self._miss(job.trial, len(job.rows))
        else:
            self._waiting.put_nowait(job)

    async def _work(self) -> None:
        while True:
            job = await self._waiting.get()
            assert job.question.ask is not None  # noqa: S101 - else it would not have been put
            try:
                theirs = await job.question.ask(job.other, Deadline(self._timeout, priority=Priority.BATCH))
            except SymbiontError as exc:
                theirs = [exc] * len(job.rows)
            self._compare(job.trial, job.served, job.other, job.rows, job.question, job.values, theirs)

    def _compare(
        self,
        trial: Trial,
        served: Served,
        other: Served,
        rows: Sequence[Row],
        question: Question,
        own: Values,
        theirs: Values,
    ) -> None:
        failed = [isinstance(values, SymbiontError) for values in theirs]
        trial.note_call(is_candidate=True, failed=any(failed))
        if all(failed):
            # It may be gone from the host or the store: it proves itself again before it costs more calls their time.
            self._table.doubt(other.version)
        labels = []
        for index, (mine, its) in enumerate(zip(own, theirs, strict=True)):
            ours, shadows = verdict(mine, served.bundle), verdict(its, other.bundle)
            if ours is None or shadows is None:
                self._miss(trial, 1)
                continue
            labels.append(shadows.label)
            self._note(trial, ours, shadows)
            if ours.label != shadows.label:
                name = trial.release.name
                digest = hashlib.sha256(question.input_of(rows, index)).hexdigest()
                when = datetime.now(UTC)
                found = Disagreement(name, digest, served.version, ours, other.version, shadows, when)
                self._disagreements.add(found)
        trial.note_labels(is_candidate=True, labels=labels)

    def _note(self, trial: Trial, ours: Verdict, shadows: Verdict) -> None:
        shift = abs(ours.probability - shadows.probability)
        differs = ours.label != shadows.label
        trial.compared.rows += 1
        trial.compared.differing += differs
        trial.compared.shift += shift
        self._metrics.shadow_rows.labels("other" if differs else "same").inc()
        self._metrics.shadow_score_shift.observe(shift)

    def _miss(self, trial: Trial, rows: int) -> None:
        trial.compared.missed += rows
        self._metrics.shadow_rows.labels("missed").inc(rows)


def _comparable(bundle: BundleInfo, other: BundleInfo) -> bool:
    """Whether two bundles take the same inputs and give answers of the same kind."""
    return _taken(bundle) == _taken(other)


def _taken(bundle: BundleInfo) -> tuple[object, ...]:
    return bundle.head.kind, bundle.takes, {(field.name, field.kind) for field in bundle.fields}


def _making(served: Served) -> tuple[object, ...]:
    """Returns what the rows of a version depend on, but for its business fields."""
    bundle = served.bundle
    return served.version.base_digest, served.version.tokenizer_digest, bundle.max_tokens, bundle.windows
