"""The deletion test: an explanation is worth something if taking its most telling part out moves the answer more than
taking out any part (Samek and others, IEEE Transactions on Neural Networks and Learning Systems 28, 2017).
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from symbiont.client import Client, Explanation, FieldAttribution, Input, Pair, Prediction, Text, WordAttribution
from symbiont.client.inputs import Granularity
from symbiont.solutions.figures import Deletion, share_of
from symbiont.solutions.rows import SolutionRow

SEED = 0
FIELD = "field"


def deletion_test(
    client: Client, model: str, rows: Sequence[SolutionRow], most: int, granularity: Granularity = "word"
) -> tuple[Deletion, ...]:
    """Returns how far answers fall without the most telling word or sentence, and without any one of them.

    Where rows have business fields, those are tried, too. Rows with one part only tell nothing.

    Args:
        model: `model@alias`, a classifier.
        most: how many rows are tried, evenly taken.
    """
    count = min(most, len(rows))
    chosen = [rows[place * len(rows) // count].asked("classification") for place in range(count)]
    chance = random.Random(SEED)  # noqa: S311, no secret
    falls: dict[str, list[tuple[float, float]]] = {granularity: [], FIELD: []}
    for given in chosen:
        # One text is as many rows as it has parts, which a busy host must answer in time.
        (found,) = client.explain(model, [given], granularity=granularity).explanations
        for part, some in ((granularity, found.words), (FIELD, found.fields)):
            falls[part] += _falls(client, model, given, found, some, chance)
    return tuple(_deletion(part, found) for part, found in falls.items() if found)


def _deletion(part: str, falls: Sequence[tuple[float, float]]) -> Deletion:
    told, chance = np.array(falls).T
    return Deletion(
        part=part, rows=len(falls), told=float(told.mean()), random=float(chance.mean()), win=share_of(told > chance)
    )


def _falls(
    client: Client,
    model: str,
    given: Input,
    found: Explanation,
    parts: Sequence[WordAttribution | FieldAttribution],
    chance: random.Random,
) -> Iterator[tuple[float, float]]:
    """Yields how far the answer's probability falls without its most telling part, and without another one."""
    if len(parts) < 2:
        return
    telling = max(parts, key=lambda part: part.attribution)
    other = chance.choice([part for part in parts if part is not telling])
    answers = client.predict(model, [without(given, telling), without(given, other)]).predictions
    told, by_chance = (found.value - _probability(answer, found.label) for answer in answers)
    yield told, by_chance


def without(given: Input, part: WordAttribution | FieldAttribution) -> Input:
    """Returns what was asked without one of its words, sentences or fields."""
    if isinstance(part, FieldAttribution):
        assert isinstance(given, Text | Pair)  # noqa: S101, others have no fields
        return replace(given, fields={name: value for name, value in given.fields.items() if name != part.name})
    match given:
        case Text(text=text):
            return replace(given, text=_cut(text, part))
        case Pair(first=first, second=second):
            if part.sequence:
                return replace(given, second=_cut(second, part))
            return replace(given, first=_cut(first, part))
        case _:
            raise TypeError(f"{type(given).__name__} is not explained")


def _cut(text: str, part: WordAttribution) -> str:
    return " ".join((text[: part.start] + text[part.end :]).split()) or text


def _probability(prediction: Prediction, label: str) -> float:
    return next((one.probability for one in prediction.classes if one.label == label), 0.0)
