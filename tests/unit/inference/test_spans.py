"""Answers come of all windows together, as if every pair of a begin and an end were looked at."""

import math
from itertools import product

import numpy as np
import pytest

from symbiont.common.offsets import OffsetUnit
from symbiont.inference.results import AnswerSpan, AnswerSpans
from symbiont.inference.tasks import spans
from symbiont.inference.tasks.plan import Window
from symbiont.inference.tasks.spans import Scored, answers, score
from symbiont.inference.tokens import Places


def made(rng: np.random.Generator, *, tied: bool) -> tuple[str, list[Window]]:
    """A context with spaces, some of whose tokens stand in the same place as the next, in windows that overlap."""
    tokens, room = int(rng.integers(1, 40)), int(rng.integers(4, 20))
    stride = int(rng.integers(0, room - 1))
    text = "".join(rng.choice(list("ab  中"), 3 * tokens + 5))
    starts = np.sort(rng.integers(0, len(text) - 1, tokens))
    ends = np.minimum(starts + rng.integers(1, 4, tokens), len(text))
    ends = np.maximum.accumulate(ends)
    windows = []
    for first in range(0, max(1, tokens - stride), room - stride):
        # Two special tokens before it and one behind.
        own = [np.pad(column[first : first + room], (2, 1)).astype(np.int32) for column in (starts, ends)]
        sequences = np.pad(np.ones(len(own[0]) - 3, np.int32), (2, 1), constant_values=-1)
        values = 3 * rng.standard_normal(2 * len(sequences)).astype(np.float32)
        places = Places(sequences, own[0], own[0], own[1])
        windows.append(Window(np.round(values) if tied else values, np.zeros(len(sequences), np.int32), places))
    return text, windows


def pairs_of(windows: list[Window], longest: int) -> dict[tuple[int, int], float]:
    """Returns the best score of each part of a context."""
    found: dict[tuple[int, int], float] = {}
    for window in windows:
        assert window.places
        values = window.values.reshape(-1, 2).astype(np.float64)
        context = np.flatnonzero(window.places.sequences == 1)
        for (i, first), (j, last) in product(enumerate(context), enumerate(context)):
            if 0 <= j - i < longest:
                place = int(window.places.starts[first]), int(window.places.ends[last])
                found[place] = max(found.get(place, -math.inf), values[first, 0] + values[last, 1])
    return dict(sorted(found.items()))


def expected(pairs: dict[tuple[int, int], float], none: float, text: str, most: int, least: float) -> AnswerSpans:
    highest = max(none, *pairs.values())
    total = sum(math.exp(value - highest) for value in [*pairs.values(), none])
    chosen: list[AnswerSpan] = []
    for (start, end), value in sorted(pairs.items(), key=lambda item: -item[1]):
        probability = math.exp(value - highest) / total
        if len(chosen) == most or probability < least or value < none:
            break
        start += len(text[start:end]) - len(text[start:end].lstrip())
        end = start + len(text[start:end].rstrip())
        if start < end and all(end <= other.start or start >= other.end for other in chosen):
            chosen.append(AnswerSpan(text[start:end], start, end, pytest.approx(probability)))  # type: ignore[arg-type]
    return AnswerSpans(chosen, pytest.approx(math.exp(none - highest) / total))  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(40))
def test_the_best_of_all_pairs_are_found(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Small ones, so that several are looked at.
    monkeypatch.setattr(spans, "_PORTION", int(rng.integers(1, 20)))
    text, windows = made(rng, tied=seed % 2 == 0)
    longest, most, least = int(rng.integers(1, 12)), int(rng.choice([1, 3, 1000])), float(rng.choice([0.0, 0.01]))
    scored, none = score(windows, longest)
    pairs = pairs_of(windows, longest)
    assert list(zip(scored.starts.tolist(), scored.ends.tolist(), strict=True)) == list(pairs)
    assert scored.scores.tolist() == list(pairs.values())
    found = answers(scored, none, text, OffsetUnit.CODE_POINT, most, least)
    assert found == expected(pairs, none, text, most, least)


def test_of_very_many_only_the_best_are_put_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 200_000
    starts = np.arange(count)
    scored = Scored(np.random.default_rng(0).standard_normal(count), starts, starts + 1)
    sort, sorted_sizes = np.argsort, []

    def noting(values: np.ndarray, **named: object) -> np.ndarray:  # type: ignore[type-arg]
        sorted_sizes.append(len(values))
        return sort(values, **named)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(spans.np, "argsort", noting)
    found = answers(scored, -100.0, "x" * count, OffsetUnit.CODE_POINT, 20, 0.0)
    assert [span.start for span in found.spans] == sort(-scored.scores)[:20].tolist()
    assert sum(sorted_sizes) < 1000


def test_a_context_without_tokens_has_no_answer() -> None:
    nothing = np.full(3, -1, np.int32)
    window = Window(np.zeros(6, np.float32), np.zeros(3, np.int32), Places(nothing, nothing, nothing, nothing))
    scored, none = score([window], 30)
    assert answers(scored, none, "", OffsetUnit.CODE_POINT, 1, 0.0) == AnswerSpans([], 1.0)
