"""A call of the protocol from its inputs to its output tensors, by the predictor that Predict uses."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from symbiont.common.errors import FailedPrecondition, IntegrityError, InvalidArgument, NotFound
from symbiont.engine.row import Floats, Row
from symbiont.inference import tasks
from symbiont.inference.deadline import Deadline
from symbiont.inference.hosts import HostKeeper
from symbiont.inference.instances import Instance, Pair, QuestionContext, Text
from symbiont.inference.metrics import InferenceMetrics
from symbiont.inference.oip.asking import ON_TOKENS, InferCall, RequestedOutput, check_options, outputs_to_give
from symbiont.inference.oip.reading import Batch, Texts, TokenRows, read_batch
from symbiont.inference.oip.signature import FIELD, INPUT_IDS, TEXT
from symbiont.inference.oip.statistics import Record, Statistics
from symbiont.inference.oip.tensors import Tensor, place
from symbiont.inference.oip.writing import write_logits, write_results, write_values
from symbiont.inference.predictor import Limits, Predictor, check_size
from symbiont.inference.reference import ModelReference
from symbiont.inference.results import Result
from symbiont.inference.tasks.plan import Part, Plan, Windows, encode_fields, mean_of
from symbiont.inference.types import BundleInfo, ModelVersion, PredictCall, Served

# Tasks whose outputs are made of all values at once, by text as by token ids.
_VALUED = ("classification", "multi_label", "score")
# What Load sends through every stage, so that the host and the bundle are in memory. Any text does.
WARMING_TEXT = "symbiont"
_INSTANCE = re.compile(r"instances\[(\d+)\](?:\.fields\[(\d+)\])?")


@dataclass(frozen=True)
class InferAnswer:
    """What answered, and the outputs."""

    version: ModelVersion
    outputs: Sequence[Tensor]


class OpenInference:
    """Answers calls of the protocol and counts them."""

    def __init__(
        self,
        predictor: Predictor,
        keeper: HostKeeper,
        limits: Limits,
        metrics: InferenceMetrics,
        statistics: Statistics,
    ) -> None:
        self._predictor = predictor
        self._keeper = keeper
        self._limits = limits
        self._metrics = metrics
        self._statistics = statistics

    def refusals(self) -> AbstractContextManager[None]:
        """Counts the domain error that leaves the block, if one does."""
        return self._metrics.refusals.counted()

    async def infer(self, call: InferCall, deadline: Deadline) -> InferAnswer:
        """Answers a call.

        Raises:
            InvalidArgument: the call is wrong, which is found before anything is computed; or its token ids are.
            NotFound, FailedPrecondition, IntegrityError, Unavailable, DeadlineExceeded: as Predict.
        """
        began, seconds = time.perf_counter(), dict[str, float]()
        served = await self._predictor.find(call.reference, deadline, seconds, call.options.routing_key)
        answered = False
        try:
            batch = read_batch(call.tensors, served.bundle, self._limits.text_bytes)
            check_options(call, batch, served.bundle)
            wanted = outputs_to_give(call, batch, served.bundle)
            with _blamed(batch):
                computed = await self._compute(batch, call.options, served, deadline, seconds)
            infer_ended = time.perf_counter()
            outputs = _written(wanted, computed, batch, served.bundle, call.options)
            stages: Mapping[str, float] = {**seconds, "output": time.perf_counter() - infer_ended}
            answered = True
        finally:
            # A caller that gave up counts as a failure too.
            if not answered:
                self._statistics.failed(served.version, time.perf_counter() - began)
        self._statistics.answered(served.version, len(batch), time.perf_counter() - began, stages)
        self._metrics.answered(served.version, len(batch), seconds)
        return InferAnswer(served.version, outputs)

    async def find(self, reference: ModelReference, deadline: Deadline) -> Served:
        """Returns what a reference means now; see Predictor.find for the errors."""
        return await self._predictor.find(reference, deadline, {})

    async def is_ready(self, reference: ModelReference, deadline: Deadline) -> bool:
        """Whether a reference means a version whose bundle may serve and whose host is ready.

        Raises:
            Unavailable: what it means is not known now.
        """
        try:
            served = await self.find(reference, deadline)
        except (NotFound, FailedPrecondition, IntegrityError):
            return False
        return await self._keeper.is_answerable(served.version)

    async def warm(self, reference: ModelReference, deadline: Deadline) -> Served:
        """Sends one text through every stage, so that a later call waits for nothing; it is not counted."""
        served = await self.find(reference, deadline)
        call = PredictCall("", [_warming(served.bundle)])
        await self._predictor.carry_out(tasks.plan(call, served.bundle), served, deadline, {}, fresh=True)
        return served

    def records(self) -> Sequence[Record]:
        """Returns what was counted."""
        return self._statistics.all()

    async def _compute(
        self, batch: Batch, options: PredictCall, served: Served, deadline: Deadline, seconds: dict[str, float]
    ) -> Sequence[Result] | Sequence[Floats]:
        """Returns a row's result, or, where a tensor is made of them, the values that the head gave for it."""
        if isinstance(batch, TokenRows):
            rows = _rows(batch, served, deadline)
            return await self._predictor.score_rows(served, rows, deadline, seconds, INPUT_IDS)
        call = replace(options, instances=batch.instances)
        plan = tasks.plan(call, served.bundle)
        # What comes out was held against the limits of this protocol: of classes, no more than one a row counts here.
        check_size(replace(call, top_k=1), plan, served.bundle)
        if served.bundle.head.kind in _VALUED:
            return (await self._predictor.carry_out(_valued(plan), served, deadline, seconds))[0]
        return (await self._predictor.carry_out(plan, served, deadline, seconds))[0]


def _valued(plan: Plan) -> Plan[Floats]:
    """Returns a plan that leaves the reading of the values to others."""

    def read(texts: Sequence[Windows]) -> Floats:
        return mean_of(texts[0])

    parts = [Part(part.texts, read, part.pair_texts, part.features, part.encode) for part in plan.parts]
    return Plan(parts, plan.query)


def _rows(batch: TokenRows, served: Served, deadline: Deadline) -> Sequence[Row]:
    given = zip(batch.rows, batch.segment_starts, batch.fields, strict=True)
    return [
        Row(
            ids,
            served.version.bundle_digest,
            segment_start,
            # The fields are all that is read of it.
            encode_fields(f"instances[{index}]", Instance(Text(""), fields), served.bundle),
            deadline.end,
        )
        for index, (ids, segment_start, fields) in enumerate(given)
    ]


def _written(
    wanted: Sequence[RequestedOutput], computed: Sequence[Any], batch: Batch, bundle: BundleInfo, options: PredictCall
) -> Sequence[Tensor]:
    if bundle.head.kind in _VALUED:
        return write_values(wanted, computed, bundle, options.threshold)
    if not isinstance(batch, TokenRows):
        return write_results(wanted, computed)
    if bundle.head.kind in ON_TOKENS:
        return write_logits(computed, batch, bundle)
    return write_values(wanted, computed, bundle, None)


def _warming(bundle: BundleInfo) -> Instance:
    if bundle.head.kind == "spans":
        return Instance(QuestionContext(WARMING_TEXT, WARMING_TEXT))
    return Instance(Pair(WARMING_TEXT, WARMING_TEXT) if bundle.takes == "pair" else Text(WARMING_TEXT))


@contextmanager
def _blamed(batch: Batch) -> Iterator[None]:
    """Turns what Predict calls `instances[i]` or one of its fields into the name of the input that it is of."""
    try:
        yield
    except InvalidArgument as exc:
        message = str(exc).partition(": ")[2]
        found = _INSTANCE.match(exc.field or "")
        if exc.field == "instances":
            raise InvalidArgument("inputs", message, reason=exc.reason) from exc
        if not found:
            raise
        index, number = found.groups()
        name = TEXT
        if number is not None:
            fields = batch.instances[int(index)].fields if isinstance(batch, Texts) else batch.fields[int(index)]
            name = place(f"{FIELD}{fields[int(number)][0]}")
        raise InvalidArgument(f"{name}[{index}]", message, reason=exc.reason) from exc
