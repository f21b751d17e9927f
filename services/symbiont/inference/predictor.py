"""One prediction from its first stage to its last."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from symbiont.common.errors import FailedPrecondition, InvalidArgument, NotFound, SymbiontError
from symbiont.common.request_id import current_request_id
from symbiont.common.texts import check_text
from symbiont.engine.row import Row
from symbiont.inference.bundles import BundleShelf
from symbiont.inference.classify import classify
from symbiont.inference.deadline import Deadline
from symbiont.inference.metrics import InferenceMetrics
from symbiont.inference.ports import HostClient, TokenSource
from symbiont.inference.reference import ModelReference, parse_reference
from symbiont.inference.router import FIELD, Router
from symbiont.inference.types import (
    BundleInfo,
    Ids,
    Logits,
    ModelVersion,
    PredictCall,
    Prediction,
    PredictResult,
    Served,
    Tokens,
)

MAX_CLASSES = 100_000


@dataclass(frozen=True)
class Limits:
    """Most instances in a call, and the largest text in bytes of UTF-8."""

    instances: int
    text_bytes: int


class Predictor:
    """Resolves, tokenizes, has Triton infer, and reads the logits."""

    def __init__(
        self,
        router: Router,
        bundles: BundleShelf,
        tokens: TokenSource,
        hosts: HostClient,
        limits: Limits,
        metrics: InferenceMetrics,
    ) -> None:
        self._router = router
        self._bundles = bundles
        self._tokens = tokens
        self._hosts = hosts
        self._limits = limits
        self._metrics = metrics

    async def predict(self, call: PredictCall, deadline: Deadline) -> PredictResult:
        """Answers a call.

        Raises:
            InvalidArgument: the call is wrong; nothing was done.
            NotFound: there is no such model, alias or version.
            FailedPrecondition, IntegrityError: its bundle must not serve.
            Unavailable: a part that is needed cannot be reached.
            DeadlineExceeded: the time was over first.
        """
        with self._metrics.refusals.counted():
            result = await self._predict(call, self._check(call), deadline)
        self._metrics.predicted(result)
        return result

    async def _predict(self, call: PredictCall, reference: ModelReference, deadline: Deadline) -> PredictResult:
        seconds: dict[str, float] = {}
        served = await self.find(reference, deadline, seconds)
        self._check_size(call, served.bundle)
        logits, truncated = await self.score_texts(served, call.texts, deadline, seconds)
        predictions = [
            Prediction(classify(row, served.bundle, call.top_k), cut)
            for row, cut in zip(logits, truncated, strict=True)
        ]
        return PredictResult(predictions, served.version, seconds)

    async def find(self, reference: ModelReference, deadline: Deadline, seconds: dict[str, float]) -> Served:
        """Returns what a reference means now; notes in `seconds` what the stage took.

        Raises:
            NotFound: there is no such model, alias or version.
            FailedPrecondition, IntegrityError: its bundle must not serve.
            Unavailable: it is not known here and the registry cannot be asked.
        """
        async with _stage("resolve", seconds, deadline):
            version = await self._router.resolve(reference, deadline)
            return Served(version, await self._bundles.of(version))

    async def score_texts(
        self, served: Served, texts: Sequence[str], deadline: Deadline, seconds: dict[str, float]
    ) -> tuple[Sequence[Logits], Sequence[bool]]:
        """Returns for each text its logits and whether it was cut; the texts have passed their checks."""
        async with _stage("tokenize", seconds, deadline):
            tokens = await self._tokenize(served, texts, deadline)
        return await self.score_rows(served, tokens.rows, deadline, seconds), tokens.truncated

    async def score_rows(
        self, served: Served, rows: Sequence[Ids], deadline: Deadline, seconds: dict[str, float], field: str = ""
    ) -> Sequence[Logits]:
        """Returns the logits of rows of token ids, special tokens among them.

        Args:
            field: where the caller gave the ids itself; empty when they come from the tokenization service.

        Raises:
            InvalidArgument: the caller's own ids do not fit the base; it names `field`.
        """
        async with _stage("infer", seconds, deadline):
            return await self._infer(served.version, rows, deadline, field)

    def _check_size(self, call: PredictCall, bundle: BundleInfo) -> None:
        # Writing an answer holds up every other call of the process: this many classes take about 50 ms.
        classes = min(call.top_k or len(bundle.labels), len(bundle.labels)) * len(call.texts)
        if classes > MAX_CLASSES:
            problem = f"{classes} classes in an answer, at most {MAX_CLASSES} are given; set it or send fewer instances"
            raise InvalidArgument("top_k", problem, reason="ANSWER_TOO_LARGE")

    def _check(self, call: PredictCall) -> ModelReference:
        reference = parse_reference(FIELD, call.model)
        if not call.texts:
            raise InvalidArgument("instances", "there are none", reason="BATCH_EMPTY")
        if len(call.texts) > self._limits.instances:
            problem = f"{len(call.texts)} instances, at most {self._limits.instances} are allowed in a call"
            raise InvalidArgument("instances", problem, reason="BATCH_TOO_LARGE")
        if call.top_k < 0:
            raise InvalidArgument("top_k", f"{call.top_k} is negative", reason="TOP_K")
        for index, text in enumerate(call.texts):
            check_text(f"instances[{index}].text", text, self._limits.text_bytes)
        return reference

    async def _tokenize(self, served: Served, texts: Sequence[str], deadline: Deadline) -> Tokens:
        version, asked = served.version, served.version.tokenizer_digest
        tokens = await self._tokens.tokenize(asked, texts, served.bundle.max_tokens, deadline.remaining())
        if tokens.tokenizer_digest != asked:
            raise FailedPrecondition(
                f"{version.name} was trained with the tokenizer {asked}, but {tokens.tokenizer_digest} answered",
                reason="SKEW",
            )
        return tokens

    async def _infer(
        self, version: ModelVersion, ids: Sequence[Ids], deadline: Deadline, field: str
    ) -> Sequence[Logits]:
        rows = [Row(row, version.bundle_digest, expires=deadline.end) for row in ids]
        answer = await self._hosts.infer_rows(
            version.base_digest, rows, timeout_s=deadline.remaining(), request_id=current_request_id()
        )
        return [_values(row, version, field) for row in answer.rows]


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
    async with deadline.bound(name):
        yield
    seconds[name] = time.perf_counter() - started
