"""From what was computed to output tensors."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from symbiont.bundle import MultiLabelHead
from symbiont.common.errors import IntegrityError
from symbiont.engine.row import Floats
from symbiont.inference.classify import decide, probabilities, sigmoid
from symbiont.inference.oip.asking import CLASSIFYING, RequestedOutput
from symbiont.inference.oip.reading import TokenRows
from symbiont.inference.oip.signature import (
    ANSWERS,
    EMBEDDING,
    ENTITIES,
    HOLDS,
    LABEL,
    LOGITS,
    PROBABILITIES,
    SCORE,
    SIMILARITY,
)
from symbiont.inference.oip.tensors import BOOL, Tensor, of_bytes, of_floats
from symbiont.inference.results import AnswerSpans, Embedding, Entities, Result, Similarity
from symbiont.inference.tasks.embedding import unit
from symbiont.inference.tasks.pooled import score_of
from symbiont.inference.types import BundleInfo

# As Predict's, of a model that has none of its own.
DEFAULT_THRESHOLD = 0.5


def write_results(wanted: Sequence[RequestedOutput], results: Sequence[Result]) -> Sequence[Tensor]:
    """Makes the outputs of tasks whose results are read as those of Predict are, one row each."""
    return [_RESULTS[output.name](results) for output in wanted]


def write_values(
    wanted: Sequence[RequestedOutput], values: Sequence[Floats], bundle: BundleInfo, threshold: float | None
) -> Sequence[Tensor]:
    """Makes the outputs of what a head on pooled texts gave, [outputs] for each row.

    Raises:
        IntegrityError: it did not give so many, or not finite ones.
    """
    _check(values, bundle.head.outputs)
    if bundle.head.kind in CLASSIFYING:
        return _classified(wanted, values, bundle, threshold)
    if bundle.head.kind == "score":
        return [_scores(values, bundle)]
    return [of_floats(EMBEDDING, np.stack([unit(row) for row in values]))]


def write_logits(values: Sequence[Floats], batch: TokenRows, bundle: BundleInfo) -> Sequence[Tensor]:
    """Makes LOGITS [rows, tokens, outputs] of a head on tokens; they are 0 where the mask is."""
    size = bundle.head.outputs
    logits = np.zeros((len(batch), batch.width, size), np.float32)
    for row, ids, start, given in zip(logits, batch.rows, batch.starts, values, strict=True):
        _check([given], size * len(ids))
        row[start : start + len(ids)] = given.reshape(-1, size)
    return [of_floats(LOGITS, logits)]


def _check(values: Sequence[Floats], outputs: int) -> None:
    for row in values:
        if row.size != outputs or not np.isfinite(row).all():
            raise IntegrityError(f"the bundle gave {row.size} values where {outputs} are due, or not finite ones")


def _classified(
    wanted: Sequence[RequestedOutput], values: Sequence[Floats], bundle: BundleInfo, threshold: float | None
) -> Sequence[Tensor]:
    labels = [label.encode() for label in bundle.labels]
    if isinstance(bundle.head, MultiLabelHead):
        exact = np.array([sigmoid(row, bundle.temperature) for row in values])
    else:
        exact = np.stack([probabilities(row, bundle) for row in values])
    made = []
    for output in wanted:
        # Chosen by the fp64 values, as Predict does: rounding may make two of them equal.
        if output.name == LABEL:
            made.append(of_bytes(LABEL, [labels[decide(row, bundle)] for row in exact], [len(exact)]))
        elif output.name == HOLDS:
            made.append(Tensor(HOLDS, BOOL, exact >= _least(bundle, threshold)))
        elif output.classes:
            made.append(_classification(exact, labels, output.classes))
        else:
            made.append(of_floats(PROBABILITIES, exact))
    return made


def _least(bundle: BundleInfo, threshold: float | None) -> NDArray[np.float64]:
    """Returns from which probability each label holds, as Predict has it."""
    own = cast(MultiLabelHead, bundle.head).thresholds or (DEFAULT_THRESHOLD,) * len(bundle.labels)
    return np.array(own) if threshold is None else np.full(len(own), threshold)


def _classification(exact: NDArray[np.float64], labels: Sequence[bytes], classes: int) -> Tensor:
    """Returns `value:index:label` of the best classes of each row, best first, shape [rows, classes]."""
    values = exact.astype(np.float32)
    best = np.argsort(-exact, axis=1, kind="stable")[:, :classes]
    texts = [
        f"{values[row, index]:.6f}:{index}:".encode() + labels[index]
        for row, indices in enumerate(best)
        for index in indices
    ]
    return of_bytes(PROBABILITIES, texts, best.shape)


def _scores(values: Sequence[Floats], bundle: BundleInfo) -> Tensor:
    scores = np.array([score_of(row, bundle) for row in values])
    if not np.isfinite(scores).all():
        raise IntegrityError("the score is not finite")
    return of_floats(SCORE, scores)


def _documents(name: str, results: Sequence[Any]) -> Tensor:
    """Returns one JSON document a row, with the fields of the message of the same name in symbiont.inference.v1."""
    made = [json.dumps(asdict(result), ensure_ascii=False).encode() for result in results]
    return of_bytes(name, made, [len(made)])


_RESULTS: Mapping[str, Callable[[Sequence[Any]], Tensor]] = {
    ENTITIES: lambda results: _documents(ENTITIES, cast(Sequence[Entities], results)),
    ANSWERS: lambda results: _documents(ANSWERS, cast(Sequence[AnswerSpans], results)),
    SIMILARITY: lambda results: of_floats(SIMILARITY, [cast(Similarity, result).cosine for result in results]),
    EMBEDDING: lambda results: of_floats(EMBEDDING, np.stack([cast(Embedding, result).values for result in results])),
}
