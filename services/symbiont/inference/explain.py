"""Explains an answer by what changes when a word is left out (erasure: Li et al., arXiv 1612.08220)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from symbiont.bundle import MultiLabelHead, ScoreHead
from symbiont.common.errors import InvalidArgument
from symbiont.common.offsets import OffsetUnit, places
from symbiont.engine.row import Floats
from symbiont.inference.classify import decide, probabilities, sigmoid
from symbiont.inference.instances import Instance, Text
from symbiont.inference.tasks.plan import encode_fields, wrong_input
from symbiont.inference.tasks.pooled import score_of
from symbiont.inference.tokens import Ids, Places
from symbiont.inference.types import BundleInfo, Logits, ModelVersion

MAX_EXPLAINED = 16


@dataclass(frozen=True)
class ExplainCall:
    """What to explain; an empty label stands for the one that is answered."""

    model: str
    instances: Sequence[Instance]
    label: str = ""
    offset_unit: OffsetUnit = OffsetUnit.CODE_POINT


@dataclass(frozen=True)
class WordAttribution:
    """How much the value falls without a word; `start` and `end` are in the unit that was asked for."""

    text: str
    start: int
    end: int
    attribution: float


@dataclass(frozen=True)
class Explanation:
    """The value that is explained, of a label where the task has any, and what each word does to it."""

    label: str
    value: float
    words: Sequence[WordAttribution]
    truncated: bool


@dataclass(frozen=True)
class ExplainResult:
    """The explanations of a call, what gave them, and the seconds spent in each stage."""

    explanations: Sequence[Explanation]
    version: ModelVersion
    seconds: dict[str, float]


@dataclass(frozen=True, eq=False)
class Erased:
    """One text with each of its words left out once.

    Attributes:
        rows: ids of the whole text, then of it without its first word, its second, and so on.
        spans: where the words stand, in code points.
    """

    rows: Sequence[Ids]
    spans: Sequence[tuple[int, int]]


def check_call(call: ExplainCall, bundle: BundleInfo) -> Sequence[tuple[str, Floats]]:
    """Returns the texts with their encoded business fields.

    Raises:
        InvalidArgument: the model's task is not explained, or has no such label, or takes other inputs.
    """
    if bundle.head.kind not in ("classification", "multi_label", "score") or bundle.takes != "text":
        problem = (
            f"it answers {bundle.head.kind} of a {bundle.takes}; classes, labels and scores of a text are explained"
        )
        raise InvalidArgument("model", problem, reason="TASK")
    if call.label and call.label not in bundle.labels:
        known = ", ".join(bundle.labels[:20]) or "none, because it gives a score"
        raise InvalidArgument("label", f"the model has no label {call.label[:100]!r}; its labels: {known}")
    found = []
    for index, instance in enumerate(call.instances):
        field = f"instances[{index}]"
        if not isinstance(instance.input, Text):
            raise wrong_input(field, instance.input, bundle, Text)
        found.append((instance.input.text, encode_fields(field, instance, bundle)))
    return found


def erase(ids: Ids, there: Places) -> Erased:
    """Returns a text's row and the rows without each of its words."""
    rows, spans = [ids], []
    for tokens in _words(there):
        rows.append(np.delete(ids, tokens))
        spans.append((int(there.starts[tokens[0]]), int(there.ends[tokens[-1]])))
    return Erased(rows, spans)


def _words(there: Places) -> Iterator[Sequence[int]]:
    for word in dict.fromkeys(there.words[there.sequences == 0].tolist()):
        yield np.flatnonzero((there.words == word) & (there.sequences == 0)).tolist()


def explain(
    text: str, erased: Erased, values: Sequence[Logits], bundle: BundleInfo, call: ExplainCall, *, truncated: bool
) -> Explanation:
    """Reads what the rows of an erased text gave."""
    scores = [_scores(row, bundle) for row in values]
    best = bundle.labels.index(call.label) if call.label else _answered(scores[0], bundle)
    whole, where = scores[0][best], places(text, call.offset_unit)
    words = [
        WordAttribution(text[start:end], where[start], where[end], whole - without[best])
        for (start, end), without in zip(erased.spans, scores[1:], strict=True)
    ]
    return Explanation(bundle.labels[best] if bundle.labels else "", whole, words, truncated)


def _answered(scores: Sequence[float], bundle: BundleInfo) -> int:
    if bundle.head.kind == "classification":
        return decide(np.array(scores), bundle)
    return max(range(len(scores)), key=scores.__getitem__)


def _scores(values: Logits, bundle: BundleInfo) -> Sequence[float]:
    if isinstance(bundle.head, ScoreHead):
        return [score_of(values, bundle)]
    if isinstance(bundle.head, MultiLabelHead):
        return sigmoid(values, bundle.temperature)
    probable: list[float] = probabilities(values, bundle).tolist()
    return probable
