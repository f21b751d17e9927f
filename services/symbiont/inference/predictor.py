"""One prediction from its first stage to its last."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from symbiont.common.errors import FailedPrecondition, InvalidArgument, NotFound, SymbiontError
from symbiont.common.texts import check_text
from symbiont.common.tracing import span
from symbiont.engine.row import Floats, Row
from symbiont.inference import tasks
from symbiont.inference.bundles import BundleShelf
from symbiont.inference.cache import ResponseCache
from symbiont.inference.catalogues.matching import Matching
from symbiont.inference.deadline import Deadline
from symbiont.inference.explain import (
    MAX_EXPLAINED,
    ExplainCall,
    ExplainResult,
    Given,
    Hidden,
    Shown,
    check_call,
    check_tokens,
    explain,
    hide,
    query_of,
    shown_of,
)
from symbiont.inference.instances import Instance, texts_of
from symbiont.inference.licenses import Licenses
from symbiont.inference.metrics import InferenceMetrics
from symbiont.inference.ports import TokenSource
from symbiont.inference.reference import ModelReference, parse_reference
from symbiont.inference.releases.picking import check_key
from symbiont.inference.releases.releases import Releases
from symbiont.inference.releases.shadow import Question
from symbiont.inference.router import FIELD, Router
from symbiont.inference.scheduling.admission import estimate
from symbiont.inference.scheduling.scheduler import Scheduler
from symbiont.inference.tasks.plan import Plan, Window, blamed
from symbiont.inference.tokens import TokenQuery, Tokens
from symbiont.inference.types import (
    BundleInfo,
    Logits,
    ModelVersion,
    PredictCall,
    Prediction,
    PredictResult,
    Served,
)

R = TypeVar("R")
MAX_CLASSES = 100_000
# What one call of the tokenization service takes.
MAX_TEXTS, MAX_BYTES = 4096, 8 << 20
# Numbers that a call may have computed: 64 MiB of fp32.
MAX_VALUES = 16 << 20
# So many values of tokens are read in about 20 ms; more would hold up the calls of others here.
READ_HERE = 8192


@dataclass(frozen=True)
class Limits:
    """Most instances in a call, and the largest text in bytes of UTF-8."""

    instances: int
    text_bytes: int


class Predictor:
    """Resolves, tokenizes, has Triton infer, and reads what came of it."""

    def __init__(
        self,
        router: Router,
        bundles: BundleShelf,
        tokens: TokenSource,
        hosts: Scheduler,
        releases: Releases,
        limits: Limits,
        metrics: InferenceMetrics,
        matching: Matching,
        licenses: Licenses,
        cache: ResponseCache | None = None,
    ) -> None:
        self._router = router
        self._bundles = bundles
        self._tokens = tokens
        self._hosts = hosts
        self._releases = releases
        self._limits = limits
        self._metrics = metrics
        self._cache = cache
        self._matching = matching
        self._licenses = licenses

    async def predict(self, call: PredictCall, deadline: Deadline) -> PredictResult:
        """Answers a call.

        Raises:
            InvalidArgument: the call is wrong; nothing was done.
            NotFound: there is no such model, alias or version.
            FailedPrecondition, IntegrityError: its bundle must not serve.
            Unavailable: a part that is needed cannot be reached.
            ResourceExhausted: too much waits already.
            DeadlineExceeded: the time was over first.
        """
        with self._metrics.refusals.counted():
            result = await self._predict(call, self._check(call), deadline)
        self._metrics.predicted(result)
        return result

    async def _predict(self, call: PredictCall, reference: ModelReference, deadline: Deadline) -> PredictResult:
        seconds: dict[str, float] = {}
        served = await self.find(reference, deadline, seconds, call.routing_key)
        plan = tasks.plan(call, served.bundle)
        check_size(call, plan, served.bundle)
        async with deadline.bound("search"):
            opened = await self._matching.open(call, served)
        results, truncated = await self.carry_out(plan, served, deadline, seconds)
        self._metrics.drift.note(served, results)
        if opened:
            async with _stage("search", seconds, deadline):
                results = await self._matching.answer(call, opened, results)
        return PredictResult(list(map(Prediction, results, truncated)), served.version, seconds)

    async def carry_out(
        self, plan: Plan[R], served: Served, deadline: Deadline, seconds: dict[str, float], *, fresh: bool = False
    ) -> tuple[Sequence[R], Sequence[bool]]:
        """Returns for each part of a plan its result, and whether one of its texts was cut.

        Args:
            fresh: have it computed, whatever the response cache knows.
        """
        async with _stage("tokenize", seconds, deadline):
            try:
                tokens = await self._tokenize(served, plan.query, deadline, fresh=fresh)
            except InvalidArgument as exc:
                raise plan.blamed(exc) from exc
        check_values(plan, tokens, served.bundle)
        rows = rows_of(tokens, served, plan.features, deadline)
        question = Question(tokens, plan.query, partial(self._ask, plan), plan.features_for)
        async with _stage("infer", seconds, deadline):
            values = await self._infer(served, rows, question, deadline, seconds, "", fresh=fresh)
        if plan.query.places and sum(row.size for row in values) > READ_HERE:
            return await asyncio.to_thread(read, plan, tokens, values)
        return read(plan, tokens, values)

    async def _ask(self, plan: Plan[R], other: Served, deadline: Deadline) -> Sequence[Floats | SymbiontError]:
        """Has another version answer the same texts, for a shadow that cannot take the same rows."""
        tokens = await self._tokenize(other, plan.query, deadline)
        rows = rows_of(tokens, other, plan.features_for(other.bundle), deadline)
        return (await self._releases.infer_rows(other, rows, Question(), deadline)).rows

    async def find(
        self, reference: ModelReference, deadline: Deadline, seconds: dict[str, float], routing_key: str | None = None
    ) -> Served:
        """Returns what a reference means now; notes in `seconds` what the stage took.

        Args:
            routing_key: see Releases.role_of; None for what is no prediction.

        Raises:
            NotFound: there is no such model, alias or version.
            FailedPrecondition, IntegrityError: its bundle must not serve.
            PermissionDenied: the licence of its base does not let whose it is use it.
            Unavailable: it is not known here and the registry cannot be asked.
        """
        async with _stage("resolve", seconds, deadline):
            if reference.bundle_digest:
                version = await self._bundles.version_of(reference.bundle_digest)
            else:
                version = await self._router.resolve(reference, deadline)
            role = self._releases.role_of(reference, routing_key)
            if role and role.is_candidate:
                version = role.release.candidate
            bundle = await self._bundles.of(version)
            self._licenses.check(version.base_digest, bundle.owner or deadline.tenant)
            return Served(version, bundle, role)

    async def explain(self, call: ExplainCall, deadline: Deadline) -> ExplainResult:
        """Explains predictions; see `predict` for the errors."""
        with self._metrics.refusals.counted():
            result = await self._explain(call, self._check_explain(call), deadline)
        self._metrics.answered(result.version, len(result.explanations), result.seconds)
        return result

    async def _explain(self, call: ExplainCall, reference: ModelReference, deadline: Deadline) -> ExplainResult:
        seconds: dict[str, float] = {}
        served = await self.find(reference, deadline, seconds)
        given = check_call(call, served.bundle)
        async with _stage("tokenize", seconds, deadline):
            try:
                tokens = await self._tokenize(served, query_of(given, served.bundle), deadline)
            except InvalidArgument as exc:
                raise blamed(exc, [1] * len(given)) from exc
        shown = shown_of(tokens, len(given))
        hidden = [hide(windows, one.texts, call.granularity) for windows, one in zip(shown, given, strict=True)]
        check_tokens(given, shown, hidden)
        rows = [
            row
            for windows, one, parts in zip(shown, given, hidden, strict=True)
            for row in explained_rows(windows, one, parts, served, deadline)
        ]
        async with _stage("infer", seconds, deadline):
            values = iter(await self._infer(served, rows, Question(), deadline, seconds, ""))
        explanations = [
            explain(one, windows, parts, values, served.bundle, call, truncated=cut)
            for one, windows, parts, cut in zip(given, shown, hidden, tokens.truncated, strict=True)
        ]
        return ExplainResult(explanations, served.version, seconds)

    async def score_rows(
        self, served: Served, rows: Sequence[Row], deadline: Deadline, seconds: dict[str, float], field: str
    ) -> Sequence[Logits]:
        """Returns what the head gave for rows of token ids of the caller's own, special tokens among them.

        Args:
            field: where the caller gave the ids.

        Raises:
            InvalidArgument: the ids do not fit the base; it names `field`.
        """
        async with _stage("infer", seconds, deadline):
            return await self._infer(served, rows, Question(), deadline, seconds, field)

    def _check_explain(self, call: ExplainCall) -> ModelReference:
        reference = parse_reference(FIELD, call.model)
        self._check_instances(call.instances, MAX_EXPLAINED)
        return reference

    def _check(self, call: PredictCall) -> ModelReference:
        reference = parse_reference(FIELD, call.model)
        self._check_instances(call.instances, self._limits.instances)
        if call.top_k < 0:
            raise InvalidArgument("top_k", f"{call.top_k} is negative", reason="TOP_K")
        if call.threshold is not None and not math.isfinite(call.threshold):
            raise InvalidArgument("threshold", "it is not a finite number", reason="THRESHOLD")
        check_key("routing_key", call.routing_key)
        return reference

    def _check_instances(self, instances: Sequence[Instance], most: int) -> None:
        if not instances:
            raise InvalidArgument("instances", "there are none", reason="BATCH_EMPTY")
        if len(instances) > most:
            problem = f"{len(instances)} instances, at most {most} are allowed in a call"
            raise InvalidArgument("instances", problem, reason="BATCH_TOO_LARGE")
        for index, instance in enumerate(instances):
            for name, text in texts_of(instance.input).items():
                check_text(f"instances[{index}].{name}", text, self._limits.text_bytes)

    async def _tokenize(self, served: Served, query: TokenQuery, deadline: Deadline, *, fresh: bool = False) -> Tokens:
        ask = partial(self._make_tokens, served, deadline)
        if self._cache is None or fresh:
            return await ask(query)
        return await self._cache.tokenize(deadline.tenant_for(served.version), served, query, ask)

    async def _make_tokens(self, served: Served, deadline: Deadline, query: TokenQuery) -> Tokens:
        version, asked = served.version, served.version.tokenizer_digest
        with self._expecting(served, query, deadline):
            tokens = await self._tokens.tokenize(asked, query, served.bundle.max_tokens, deadline.remaining())
        if tokens.tokenizer_digest != asked:
            raise FailedPrecondition(
                f"{version.name} was trained with the tokenizer {asked}, but {tokens.tokenizer_digest} answered",
                reason="SKEW",
            )
        return tokens

    def _expecting(self, served: Served, query: TokenQuery, deadline: Deadline) -> AbstractContextManager[None]:
        """Refuses a call that could not be answered in time, before any work is done for it."""
        return self._hosts.expecting(
            served.version.base_digest,
            len(query.texts),
            estimate([*query.texts, *query.pair_texts], served.bundle.max_tokens),
            timeout_s=deadline.end - time.monotonic(),
            tenant=deadline.tenant_for(served.version),
            priority=deadline.priority,
        )

    async def _infer(
        self,
        served: Served,
        rows: Sequence[Row],
        question: Question,
        deadline: Deadline,
        seconds: dict[str, float],
        field: str,
        *,
        fresh: bool = False,
    ) -> Sequence[Logits]:
        answer = await self._releases.infer_rows(served, rows, question, deadline, fresh=fresh)
        seconds["queue"], seconds["compute"] = answer.times.queued, answer.times.computed
        return [_values(row, served.version, field) for row in answer.rows]


def rows_of(tokens: Tokens, served: Served, features: Sequence[Floats], deadline: Deadline) -> Sequence[Row]:
    """Returns the rows that a host is to answer; `features` are those of each text."""
    return [
        Row(
            ids,
            served.version.bundle_digest,
            tokens.segment_starts[number] if tokens.segment_starts else 0,
            features[tokens.text_of[number] if tokens.text_of else number],
            deadline.end,
        )
        for number, ids in enumerate(tokens.rows)
    ]


def explained_rows(
    shown: Sequence[Shown], given: Given, hidden: Sequence[Hidden], served: Served, deadline: Deadline
) -> Iterator[Row]:
    """Yields the rows of an instance that is explained: whole, without each part, without each field.

    Of one that is read in windows these are the rows of every window; of a part, of those that have it.
    """
    digest, end = served.version.bundle_digest, deadline.end
    for row in shown:
        yield Row(row.ids, digest, row.segment_start, given.features, end)
    for one in hidden:
        for window, tokens in one.places.items():
            ids, segment_start = shown[window].without(tokens)
            yield Row(ids, digest, segment_start, given.features, end)
    for features in given.missing.values():
        for row in shown:
            yield Row(row.ids, digest, row.segment_start, features, end)


def check_size(call: PredictCall, plan: Plan, bundle: BundleInfo) -> None:
    """Refuses a call whose work or answer would hold up the calls of others.

    Raises:
        InvalidArgument: names what to make smaller.
    """
    texts, outputs = plan.query.texts, bundle.head.outputs
    both = [*texts, *plan.query.pair_texts]
    if len(texts) > MAX_TEXTS or 4 * sum(map(len, both)) > MAX_BYTES < sum(len(text.encode()) for text in both):
        problem = f"{len(texts)} texts; at most {MAX_TEXTS}, and {MAX_BYTES} bytes of them, go into a call"
        raise InvalidArgument("instances", problem, reason="BATCH_TOO_LARGE")
    # Writing an answer holds up every other call of the process: this many classes take about 50 ms.
    classes = min(call.top_k or len(bundle.labels), len(bundle.labels)) * len(texts)
    if bundle.head.kind in ("classification", "multi_label") and classes > MAX_CLASSES:
        problem = f"{classes} classes in an answer, at most {MAX_CLASSES} are given; set it or send fewer instances"
        raise InvalidArgument("top_k", problem, reason="ANSWER_TOO_LARGE")
    _check_values(outputs * len(texts) * (bundle.max_tokens if plan.query.places else 1))


def check_values(plan: Plan[R], tokens: Tokens, bundle: BundleInfo) -> None:
    """Refuses a call as `check_size` does, now that it is known in how many windows its texts are read."""
    _check_values(bundle.head.outputs * (sum(map(len, tokens.rows)) if plan.query.places else len(tokens.rows)))


def _check_values(values: int) -> None:
    if values > MAX_VALUES:
        problem = f"the model gives up to {values} values for them, at most {MAX_VALUES} are computed in a call"
        raise InvalidArgument("instances", problem, reason="ANSWER_TOO_LARGE")


def read(plan: Plan[R], tokens: Tokens, values: Sequence[Logits]) -> tuple[Sequence[R], Sequence[bool]]:
    """Returns for each part of a plan its result, and whether one of its texts was cut."""
    windows: list[list[Window]] = [[] for _ in plan.query.texts]
    for number, (ids, of_row) in enumerate(zip(tokens.rows, values, strict=True)):
        places = tokens.places[number] if tokens.places else None
        windows[tokens.text_of[number] if tokens.text_of else number].append(Window(of_row, ids, places))
    results, truncated, start = [], [], 0
    for part in plan.parts:
        end = start + len(part.texts)
        results.append(part.read(windows[start:end]))
        truncated.append(any(tokens.truncated[start:end]))
        start = end
    return results, truncated


def _values(row: Logits | SymbiontError, version: ModelVersion, field: str) -> Logits:
    if not isinstance(row, SymbiontError):
        return row
    if field and isinstance(row, InvalidArgument):
        raise InvalidArgument(field, str(row)) from row
    if isinstance(row, NotFound | InvalidArgument):
        # The caller's own input has passed its checks: what is stored does not fit.
        raise FailedPrecondition(f"{version.name} cannot be served: {row}") from row
    raise row


@asynccontextmanager
async def _stage(name: str, seconds: dict[str, float], deadline: Deadline) -> AsyncIterator[None]:
    started = time.perf_counter()
    with span(name):
        async with deadline.bound(name):
            yield
    seconds[name] = time.perf_counter() - started
