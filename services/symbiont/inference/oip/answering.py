"""A call of the protocol from its checked inputs to its output tensors, by the predictor that Predict uses."""

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from symbiont.common.errors import FailedPrecondition, IntegrityError, InvalidArgument, NotFound, Unimplemented
from symbiont.inference.classify import probabilities
from symbiont.inference.deadline import Deadline
from symbiont.inference.metrics import InferenceMetrics
from symbiont.inference.oip.reading import Batch, RequestedOutput
from symbiont.inference.oip.statistics import Record, Statistics
from symbiont.inference.oip.tensors import FP32, INPUT_IDS, LABEL, PROBABILITIES, Tensor, of_bytes
from symbiont.inference.predictor import MAX_CLASSES, Predictor
from symbiont.inference.reference import ModelReference
from symbiont.inference.types import BundleInfo, Logits, ModelVersion, Served

# Numbers in an answer: 16 MiB of fp32.
MAX_VALUES = 4 << 20
# What Load sends through every stage, so that the host and the bundle are in memory. Any text does.
WARMING_TEXT = "symbiont"


@dataclass(frozen=True)
class InferCall:
    """A call that has passed its checks. `outputs` are the ones to give, in their order."""

    reference: ModelReference
    batch: Batch
    outputs: Sequence[RequestedOutput]
    routing_key: str = ""


@dataclass(frozen=True)
class InferAnswer:
    """What answered, and the outputs."""

    version: ModelVersion
    outputs: Sequence[Tensor]


class OpenInference:
    """Answers calls of the protocol and counts them."""

    def __init__(self, predictor: Predictor, metrics: InferenceMetrics, statistics: Statistics) -> None:
        self._predictor = predictor
        self._metrics = metrics
        self._statistics = statistics

    def refusals(self) -> AbstractContextManager[None]:
        """Counts the domain error that leaves the block, if one does."""
        return self._metrics.refusals.counted()

    async def infer(self, call: InferCall, deadline: Deadline) -> InferAnswer:
        """Answers a call.

        Raises:
            InvalidArgument: a row has more tokens than the model takes, or the answer would be too large.
            NotFound, FailedPrecondition, IntegrityError, Unavailable, DeadlineExceeded: as Predict.
        """
        began, seconds = time.perf_counter(), dict[str, float]()
        served = await self._predictor.find(call.reference, deadline, seconds, call.routing_key)
        check_task(served.bundle)
        answered = False
        try:
            _check_fit(call, served)
            logits = await self._score(served, call.batch, deadline, seconds)
            infer_ended = time.perf_counter()
            outputs = _outputs(call.outputs, served, logits)
            stages: Mapping[str, float] = {**seconds, "output": time.perf_counter() - infer_ended}
            answered = True
        finally:
            # A caller that gave up counts as a failure too.
            if not answered:
                self._statistics.failed(served.version, time.perf_counter() - began)
        self._statistics.answered(served.version, len(call.batch), time.perf_counter() - began, stages)
        self._metrics.answered(served.version, len(call.batch), seconds)
        return InferAnswer(served.version, outputs)

    async def find(self, reference: ModelReference, deadline: Deadline) -> Served:
        """Returns what a reference means now; see Predictor.find for the errors."""
        return await self._predictor.find(reference, deadline, {})

    async def is_ready(self, reference: ModelReference, deadline: Deadline) -> bool:
        """Whether a reference means a version whose bundle may serve; Unavailable when that is not known now."""
        try:
            await self.find(reference, deadline)
        except (NotFound, FailedPrecondition, IntegrityError):
            return False
        return True

    async def warm(self, reference: ModelReference, deadline: Deadline) -> Served:
        """Sends one text through every stage, so that a later call waits for nothing; it is not counted."""
        served = await self.find(reference, deadline)
        await self._predictor.score_texts(served, [WARMING_TEXT], deadline, {})
        return served

    def records(self) -> Sequence[Record]:
        """Returns what was counted."""
        return self._statistics.all()

    async def _score(
        self, served: Served, batch: Batch, deadline: Deadline, seconds: dict[str, float]
    ) -> Sequence[Logits]:
        if batch.rows:
            return await self._predictor.score_rows(served, batch.rows, deadline, seconds, INPUT_IDS)
        logits, _ = await self._predictor.score_texts(served, batch.texts, deadline, seconds)
        return logits


def check_task(bundle: BundleInfo) -> None:
    """Refuses, for now, a model whose answers have no tensors here."""
    if bundle.head.kind != "classification" or bundle.takes != "text" or bundle.fields:
        problem = f"its task is {bundle.head.kind} of a {bundle.takes}: ask it by symbiont.inference.v1"
        raise Unimplemented(problem, field="model_name")


def _check_fit(call: InferCall, served: Served) -> None:
    most, labels = served.bundle.max_tokens, len(served.bundle.labels)
    for index, row in enumerate(call.batch.rows):
        # Not cut, as a text would be: only the caller knows where its special tokens stand.
        if len(row) > most:
            raise InvalidArgument(f"{INPUT_IDS}[{index}]", f"it has {len(row)} tokens, the model takes at most {most}")
    if len(call.batch) * labels > MAX_VALUES:
        problem = f"{len(call.batch)} rows of {labels} labels are more than {MAX_VALUES} values: send fewer rows"
        raise InvalidArgument("inputs", problem, reason="ANSWER_TOO_LARGE")
    for output in call.outputs:
        if len(call.batch) * min(output.classes, labels) > MAX_CLASSES:
            problem = f"classification: more than {MAX_CLASSES} classes in an answer: ask for fewer or send fewer rows"
            raise InvalidArgument(output.name, problem, reason="ANSWER_TOO_LARGE")


def _outputs(wanted: Sequence[RequestedOutput], served: Served, logits: Sequence[Logits]) -> Sequence[Tensor]:
    labels = [label.encode() for label in served.bundle.labels]
    exact = np.stack([probabilities(row, served.bundle) for row in logits])
    values = exact.astype(np.float32)
    made = []
    for output in wanted:
        if output.name == LABEL:
            # Chosen by the fp64 values, as Predict does: rounding may make two of them equal.
            made.append(of_bytes(LABEL, [labels[i] for i in exact.argmax(axis=1)], [len(values)]))
        elif output.classes:
            made.append(_classification(exact, values, labels, output.classes))
        else:
            made.append(Tensor(PROBABILITIES, FP32, values))
    return made


def _classification(
    exact: NDArray[np.float64], values: NDArray[np.float32], labels: Sequence[bytes], classes: int
) -> Tensor:
    """Returns `value:index:label` of the best classes of each row, best first, shape [rows, classes]."""
    best = np.argsort(-exact, axis=1, kind="stable")[:, :classes]
    texts = [
        f"{values[row, index]:.6f}:{index}:".encode() + labels[index]
        for row, indices in enumerate(best)
        for index in indices
    ]
    return of_bytes(PROBABILITIES, texts, best.shape)
