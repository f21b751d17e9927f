"""Explains an answer by what changes when a word is left out (erasure: Li et al., arXiv 1612.08220)."""

from bisect import bisect_right
from collections.abc import Container, Iterator, Mapping, Sequence
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
from symbiont.inference.tasks.plan import Window, encode_fields, stride_of, wrong_input
from symbiont.inference.tasks.plan import whole as mean
from symbiont.inference.tasks.pooled import score_of
from symbiont.inference.tokens import Ids, Places, TokenQuery, Tokens
from symbiont.inference.types import BundleInfo, Logits, ModelVersion

MAX_EXPLAINED = 16
# What a call may have computed, 64 MiB of ids: four times what 16 texts of 512 tokens take.
MAX_TOKENS = 16 << 20


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
class Shown:
    """A row with nothing hidden: what the model sees of an instance, or a window of it.

    Attributes:
        segment_start: where its second text begins, for tokenizers that mark it, else 0.
    """

    ids: Ids
    segment_start: int
    places: Places

    def without(self, tokens: Sequence[int]) -> tuple[Ids, int]:
        """Returns what is left when tokens are hidden, and where its second text begins then."""
        return np.delete(self.ids, tokens), self.segment_start - sum(place < self.segment_start for place in tokens)


@dataclass(frozen=True, eq=False)
class Hidden:
    """A part of a text that is hidden, in each window that has it.

    Attributes:
        places: of each window that has it, the places of its tokens there, by the window's number.
        sequence: 0 for the first text, 1 for the second.
        start, end: where the part stands in its text, in code points.
    """

    places: Mapping[int, Sequence[int]]
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


def query_of(given: Sequence[Given], bundle: BundleInfo) -> TokenQuery:
    """Returns what is to be tokenized: the texts, or pairs of texts, of instances of one model, as it reads them."""
    seconds = [one.texts[1] for one in given if len(one.texts) > 1]
    return TokenQuery([one.texts[0] for one in given], seconds, stride_of(bundle), places=True)


def shown_of(tokens: Tokens, instances: int) -> list[list[Shown]]:
    """Returns the rows of each instance."""
    found: list[list[Shown]] = [[] for _ in range(instances)]
    for number, (ids, there) in enumerate(zip(tokens.rows, tokens.places, strict=True)):
        start = tokens.segment_starts[number] if tokens.segment_starts else 0
        found[tokens.text_of[number] if tokens.text_of else number].append(Shown(ids, start, there))
    return found


def hide(shown: Sequence[Shown], texts: Sequence[str], granularity: Granularity) -> list[Hidden]:
    """Returns the parts of the texts of an instance: the first word, the second, and so on."""
    found = []
    for sequence, text in enumerate(texts):
        parts: dict[int, dict[int, Sequence[_Token]]] = {}
        for window, row in enumerate(shown):
            for number, part in _parts(row.places, sequence, text, granularity):
                parts.setdefault(number, {})[window] = part
        for part_of in parts.values():
            # A window may begin or end within it.
            start = min(part[0].start for part in part_of.values())
            end = max(part[-1].end for part in part_of.values())
            places = {window: [token.place for token in part] for window, part in part_of.items()}
            found.append(Hidden(places, sequence, start, end))
    return found


def check_tokens(given: Sequence[Given], shown: Sequence[Sequence[Shown]], hidden: Sequence[Sequence[Hidden]]) -> None:
    """Refuses a call that would have more computed than any is worth: InvalidArgument."""
    tokens = 0
    for one, windows, parts in zip(given, shown, hidden, strict=True):
        lengths = [len(window.ids) for window in windows]
        tokens += (1 + len(one.missing)) * sum(lengths) + sum(
            lengths[window] for part in parts for window in part.places
        )
    if tokens > MAX_TOKENS:
        problem = (
            f"to hide each part of them once takes {tokens} tokens, at most {MAX_TOKENS} are computed in a call; send "
            "fewer or shorter texts, or hide sentences"
        )
        raise InvalidArgument("instances", problem, reason="BATCH_TOO_LARGE")


@dataclass(frozen=True)
class _Token:
    """A token by its place in the row, with its word, and where it stands in the text, without space before it."""

    place: int
    word: int
    start: int
    end: int


def _parts(there: Places, sequence: int, text: str, granularity: Granularity) -> Iterator[tuple[int, Sequence[_Token]]]:
    """Yields the number and the tokens of each word, or of each sentence, of one of a row's texts."""
    tokens = list(_tokens(there, sequence, text))
    if granularity is Granularity.SENTENCE:
        begins = [start for start, _ in sentences(text)]
        for number, of_sentence in groupby(tokens, lambda token: bisect_right(begins, token.start)):
            yield number, list(of_sentence)
        return
    for number, of_word in groupby(tokens, lambda token: token.word):
        yield number, list(of_word)


def _tokens(there: Places, sequence: int, text: str) -> Iterator[_Token]:
    for place in np.flatnonzero(there.sequences == sequence).tolist():
        start, end = int(there.starts[place]), int(there.ends[place])
        space = len(text[start:end]) - len(text[start:end].lstrip())
        yield _Token(place, int(there.words[place]), start + space, end)


def explain(
    given: Given,
    shown: Sequence[Shown],
    hidden: Sequence[Hidden],
    values: Iterator[Logits],
    bundle: BundleInfo,
    call: ExplainCall,
    *,
    truncated: bool,
) -> Explanation:
    """Reads what the rows of an instance gave: the whole one, without each part, without each field.

    As in an answer, the values of a text that is read in windows are the mean of theirs.
    """
    every = range(len(shown))
    given_by = [next(values) for _ in every]

    def scores(by_window: Sequence[Logits]) -> Sequence[float]:
        windows = [Window(of_row, row.ids, None) for of_row, row in zip(by_window, shown, strict=True)]
        return _scores(mean(windows, bundle.head.outputs), bundle)

    whole = scores(given_by)
    best = bundle.labels.index(call.label) if call.label else _answered(whole, bundle)
    where = [places(text, call.offset_unit) for text in given.texts]

    def falls(where_hidden: Container[int]) -> float:
        left = [next(values) if window in where_hidden else given_by[window] for window in every]
        return whole[best] - scores(left)[best]

    words = [
        WordAttribution(
            given.texts[one.sequence][one.start : one.end],
            where[one.sequence][one.start],
            where[one.sequence][one.end],
            falls(one.places),
            one.sequence,
        )
        for one in hidden
    ]
    fields = [FieldAttribution(name, falls(every)) for name in given.missing]
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
