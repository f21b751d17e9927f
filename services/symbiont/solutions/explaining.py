"""The deletion test: an explanation is worth something if taking its most telling word out moves the answer more than
taking out any word (Samek and others, IEEE Transactions on Neural Networks and Learning Systems 28, 2017).
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from symbiont.client import Client, Input, Pair, Prediction, Text, WordAttribution
from symbiont.evaluation import Classified, Estimate, estimates, rows_of
from symbiont.solutions.figures import Deletion
from symbiont.solutions.rows import SolutionRow

SEED = 0
# One text is as many rows as it has words, which a busy host must answer in time.
_ROWS_A_CALL = 1


def deletion_test(client: Client, model: str, rows: Sequence[SolutionRow], most: int) -> Deletion | None:
    """Returns how far answers fall without the most telling word, and without a word at random; None without texts.

    Args:
        model: `model@alias`, a classifier.
        most: how many rows are tried, evenly taken.
    """
    count = min(most, len(rows))
    chosen = [rows[place * len(rows) // count] for place in range(count)]
    calls = (chosen[start : start + _ROWS_A_CALL] for start in range(0, count, _ROWS_A_CALL))
    falls = [fall for some in calls for fall in _falls(client, model, some)]
    if not falls:
        return None
    told, chance = np.array(falls).T
    won = _share(told > chance)
    return Deletion(rows=len(falls), told=float(told.mean()), random=float(chance.mean()), win=won)


def _share(wins: "np.ndarray[Any, np.dtype[np.bool_]]") -> Estimate:
    """Returns the share of what is true with its interval, by the code that judges answers."""
    rows = rows_of([str(place) for place in range(len(wins))])
    logits = np.stack([~wins, wins], axis=1).astype(np.float32)
    won = Classified(rows, ("random", "told"), logits, np.ones(len(wins), np.int64))
    return estimates(won, ["accuracy"])["accuracy"]


def _falls(client: Client, model: str, rows: Sequence[SolutionRow]) -> Iterator[tuple[float, float]]:
    """Yields how far each answer's probability falls without its most telling word, and without a random one."""
    inputs = [_input(row, row.text) for row in rows]
    found = client.explain(model, inputs).explanations
    kept = [(row, one) for row, one in zip(rows, found, strict=True) if len(one.words) > 1]
    chance = random.Random(SEED)  # noqa: S311, no secret
    shortened: list[Input] = []
    for row, one in kept:
        telling = max(one.words, key=lambda word: word.attribution)
        other = chance.choice([word for word in one.words if word is not telling])
        shortened += [_input(row, without(row.text, word)) for word in (telling, other)]
    answers = client.predict(model, shortened).predictions if shortened else ()
    for place, (_, one) in enumerate(kept):
        told, random_one = (_probability(answers[2 * place + which], one.label) for which in (0, 1))
        yield one.value - told, one.value - random_one


def without(text: str, word: WordAttribution) -> str:
    """Returns a text without one of its words."""
    return " ".join((text[: word.start] + text[word.end :]).split()) or text


def _input(row: SolutionRow, text: str) -> Input:
    made = row.asked("classification")
    return replace(made, first=text) if isinstance(made, Pair) else Text(text, row.fields)


def _probability(prediction: Prediction, label: str) -> float:
    return next((one.probability for one in prediction.classes if one.label == label), 0.0)
