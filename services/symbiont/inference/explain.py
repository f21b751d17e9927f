"""Explains an answer by what changes when a word is left out (erasure: Li et al., arXiv 1612.08220)."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import groupby

import numpy as np

from symbiont.bundle import MultiLabelHead, ScoreHead
from symbiont.common.errors import InvalidArgument
from symbiont.common.offsets import OffsetUnit, places
from symbiont.common.sentences import sentences
from symbiont.engine.row import Floats
from symbiont.inference.classify import decide, probabilities, sigmoid
from symbiont.inference.instances import Instance, Pair, Text
from symbiont.inference.tasks.plan import encode_fields, wrong_input
from symbiont.inference.tasks.pooled import score_of
from symbiont.inference.tokens import Ids, Places, TokenQuery
from symbiont.inference.types import BundleInfo, Logits, ModelVersion

MAX_EXPLAINED = 16


class Granularity(Enum):
    """What is hidden at a time."""

    WORD = auto()
    SENTENCE = auto()


@dataclass(frozen=True)
class ExplainCall:
    """What to explain; an empty label stands for the one that is answered."""

    model: str
    instances: Sequence[Instance]
    label: str = ""
    offset_unit: OffsetUnit = OffsetUnit.CODE_POINT
    granularity: Granularity = Granularity.WORD


@dataclass(frozen=True)
class WordAttribution:
    """How much the value falls without a word, or a sentence.

    Attributes:
        start, end: where it stands, in the unit that was asked for.
        sequence: 0 for the text, or the first one of a pair, 1 for the second.
    """

    text: str
    start: int
    end: int
    attribution: float
    sequence: int = 0


@dataclass(frozen=True)
class FieldAttribution:
    """How much the value falls when a business field is missing."""

    name: str
    attribution: float


@dataclass(frozen=True)
class Explanation:
    """The value that is explained, of a label where the task has any, and what each word and each field does to it."""

    label: str
    value: float
    words: Sequence[WordAttribution]
    truncated: bool
    fields: Sequence[FieldAttribution] = ()


@dataclass(frozen=True)
class ExplainResult:
    """The explanations of a call, what gave them, and the seconds spent in each stage."""

    explanations: Sequence[Explanation]
    version: ModelVersion
    seconds: dict[str, float]


@dataclass(frozen=True, eq=False)
class Given:
    """An instance that is explained.

    Attributes:
        texts: one, or the two of a pair.
        features: its encoded business fields.
        missing: what those are without each field that it has, by the field's name.
    """

    texts: Sequence[str]
    features: Floats
    missing: Mapping[str, Floats]


@dataclass(frozen=True, eq=False)
class Hidden:
    """A part of a text that is hidden in a row.

    Attributes:
        ids: what is left of the row.
        segment_start: where its second text begins, for tokenizers that mark it, else 0.
        sequence: 0 for the first text, 1 for the second.
        start, end: where the part stands in its text, in code points.
    """

    ids: Ids
    segment_start: int
    sequence: int
    start: int
    end: int


def check_call(call: ExplainCall, bundle: BundleInfo) -> Sequence[Given]:
    """Returns the instances as they are explained.

    Raises:
        InvalidArgument: the model's task is not explained, or has no such label, or takes other inputs.
    """
    if bundle.head.kind not in ("classification", "multi_label", "score") or bundle.takes not in ("text", "pair"):
        problem = f"it answers {bundle.head.kind} of a {bundle.takes}; classes, labels and scores are explained"
        raise InvalidArgument("model", problem, reason="TASK")
    if call.label and call.label not in bundle.labels:
        known = ", ".join(bundle.labels[:20]) or "none, because it gives a score"
        raise InvalidArgument("label", f"the model has no label {call.label[:100]!r}; its labels: {known}")
    return [_given(f"instances[{index}]", instance, bundle) for index, instance in enumerate(call.instances)]


def _given(field: str, instance: Instance, bundle: BundleInfo) -> Given:
    features = encode_fields(field, instance, bundle)
    missing = {
        name: encode_fields(field, Instance(instance.input, [one for one in instance.fields if one[0] != name]), bundle)
        for name, _ in instance.fields
    }
    match instance.input:
        case Text(text=text) if bundle.takes == "text":
            return Given([text], features, missing)
        case Pair(first=first, second=second) if bundle.takes == "pair":
            return Given([first, second], features, missing)
    raise wrong_input(field, instance.input, bundle, Pair if bundle.takes == "pair" else Text)


def query_of(given: Sequence[Given]) -> TokenQuery:
    """Returns what is to be tokenized: the texts, or pairs of texts, of instances of one model."""
    seconds = [one.texts[1] for one in given if len(one.texts) > 1]
    return TokenQuery([one.texts[0] for one in given], seconds, places=True)


def hide(ids: Ids, segment_start: int, there: Places, texts: Sequence[str], granularity: Granularity) -> list[Hidden]:
    """Returns a row without each part of its texts: without its first word, its second, and so on."""
    found = []
    for sequence, text in enumerate(texts):
        for part in _parts(there, sequence, text, granularity):
            tokens = [token.place for token in part]
            start = segment_start - sum(place < segment_start for place in tokens)
            found.append(Hidden(np.delete(ids, tokens), start, sequence, part[0].start, part[-1].end))
    return found


@dataclass(frozen=True)
class _Token:
    """A token by its place in the row, with its word, and where it stands in the text, without space before it."""

    place: int
    word: int
    start: int
    end: int


def _parts(there: Places, sequence: int, text: str, granularity: Granularity) -> Iterator[Sequence[_Token]]:
    """Yields the tokens of each word, or of each sentence, of one of a row's texts."""
    tokens = list(_tokens(there, sequence, text))
    if granularity is Granularity.SENTENCE:
        begins = [start for start, _ in sentences(text)]
        for _, of_sentence in groupby(tokens, lambda token: bisect_right(begins, token.start)):
            yield list(of_sentence)
        return
    for _, of_word in groupby(tokens, lambda token: token.word):
        yield list(of_word)


def _tokens(there: Places, sequence: int, text: str) -> Iterator[_Token]:
    for place in np.flatnonzero(there.sequences == sequence).tolist():
        start, end = int(there.starts[place]), int(there.ends[place])
        space = len(text[start:end]) - len(text[start:end].lstrip())
        yield _Token(place, int(there.words[place]), start + space, end)


def explain(
    given: Given,
    hidden: Sequence[Hidden],
    values: Iterator[Logits],
    bundle: BundleInfo,
    call: ExplainCall,
    *,
    truncated: bool,
) -> Explanation:
    """Reads what the rows of an instance gave: the whole one, without each part, without each field."""
    whole = _scores(next(values), bundle)
    best = bundle.labels.index(call.label) if call.label else _answered(whole, bundle)
    where = [places(text, call.offset_unit) for text in given.texts]

    def falls() -> float:
        return whole[best] - _scores(next(values), bundle)[best]

    words = [
        WordAttribution(
            given.texts[one.sequence][one.start : one.end],
            where[one.sequence][one.start],
            where[one.sequence][one.end],
            falls(),
            one.sequence,
        )
        for one in hidden
    ]
    fields = [FieldAttribution(name, falls()) for name in given.missing]
    return Explanation(bundle.labels[best] if bundle.labels else "", whole[best], words, truncated, fields)


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
