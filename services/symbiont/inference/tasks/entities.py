"""Names in a text, from a tag for each of its tokens."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from symbiont.common.offsets import OffsetUnit, places
from symbiont.inference.classify import softmax
from symbiont.inference.instances import Text
from symbiont.inference.results import Entities, Entity
from symbiont.inference.tasks.plan import (
    OVERLAP,
    Part,
    Plan,
    Window,
    Windows,
    by_token,
    join,
    no_fields,
    probability_threshold,
    wrong_input,
)
from symbiont.inference.types import BundleInfo, PredictCall


@dataclass(frozen=True)
class Word:
    """A word with the tag of its first token, as training labels them; `start` and `end` are code points."""

    start: int
    end: int
    tag: str
    probability: float


def plan_entities(call: PredictCall, bundle: BundleInfo) -> Plan:
    """Names, whole, however long the text is: it is read in windows that overlap."""
    least = probability_threshold(call, 0.0)
    parts = []
    for index, instance in enumerate(call.instances):
        field, given = f"instances[{index}]", instance.input
        no_fields(field, instance)
        if not isinstance(given, Text):
            raise wrong_input(field, given, bundle, Text)
        parts.append(_part(given.text, call, bundle, least))
    return join(parts, stride=bundle.max_tokens // OVERLAP, places=True)


def _part(text: str, call: PredictCall, bundle: BundleInfo, least: float) -> Part:
    def read(texts: Sequence[Windows]) -> Entities:
        found = entities(words(texts[0], bundle), text, call.offset_unit)
        return Entities([entity for entity in found if entity.probability >= least][: call.top_k or None])

    return Part([text], read)


def words(windows: Windows, bundle: BundleInfo) -> list[Word]:
    """Returns the words of a text with their tags; one that stands in two windows is taken from the better one."""
    found: dict[int, tuple[tuple[int, int], Word]] = {}
    for window in windows:
        for number, margin, word in _words(window, bundle):
            # A window may begin or end within a word. Of whole ones, the farther from the edge of a window, the more of
            # the text around it was seen.
            worth = word.end - word.start, margin
            if number not in found or worth > found[number][0]:
                found[number] = (worth, word)
    return [word for _, (_, word) in sorted(found.items())]


def _words(window: Window, bundle: BundleInfo) -> Iterator[tuple[int, int, Word]]:
    """Yields words after their number in the text and their distance to the nearer edge of the window, in tokens."""
    there = window.places
    assert there is not None  # noqa: S101 - they were asked for
    probabilities = softmax(by_token(window, len(bundle.labels)), bundle.temperature)
    tokens = np.flatnonzero(there.sequences == 0)
    if not len(tokens):
        return
    numbers = there.words[tokens]
    first = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
    last = np.append(first[1:], len(tokens)) - 1
    for begin, end in zip(first.tolist(), last.tolist(), strict=True):
        best = int(probabilities[tokens[begin]].argmax())
        word = Word(
            int(there.starts[tokens[begin]]),
            int(there.ends[tokens[end]]),
            bundle.labels[best],
            float(probabilities[tokens[begin], best]),
        )
        yield int(numbers[begin]), min(begin, len(tokens) - 1 - end), word


def entities(found: Sequence[Word], text: str, unit: OffsetUnit) -> list[Entity]:
    """Joins words into entities: `B-x` begins one, `I-x` goes on with one of its type or else begins one."""
    groups: list[list[Word]] = []
    before = "O"
    for word in found:
        kind = word.tag.partition("-")[2]
        if word.tag != "O":
            goes_on = word.tag.startswith("I-") and before.partition("-")[2] == kind
            if goes_on:
                groups[-1].append(word)
            else:
                groups.append([word])
        before = word.tag
    where = places(text, unit)
    return [entity for group in groups if (entity := _entity(group, text, where))]


def _entity(group: Sequence[Word], text: str, where: Sequence[int]) -> Entity | None:
    start, end = group[0].start, group[-1].end
    # Tokenizers on bytes count the space before a word to it.
    while start < end and text[start].isspace():
        start += 1
    if start == end:
        return None
    probability = sum(word.probability for word in group) / len(group)
    kind = group[0].tag.partition("-")[2]
    return Entity(kind, text[start:end], where[start], where[end], probability)
