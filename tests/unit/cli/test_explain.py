"""The words of an explanation in colour: the stronger, the more they contribute."""

from typing import Any

from symbiont.cli.explain import _bar, _coloured
from symbiont.client import Explanation, WordAttribution


def explanation(*weights: float) -> Explanation:
    words = [WordAttribution("ab", 3 * n, 3 * n + 2, weight) for n, weight in enumerate(weights)]
    return Explanation("yes", 0.5, tuple(words), truncated=False)


def test_green_speaks_for_and_red_against() -> None:
    shown = _coloured("ab ab ab ab", explanation(0.4, -0.2, 0.0, 0.1), 0.4)
    spans: list[Any] = [span for span in shown.spans if span.style.bgcolor]  # type: ignore[union-attr]
    assert [(span.start, span.end, tuple(span.style.bgcolor.triplet)) for span in spans] == [
        (0, 2, (0, 160, 0)),
        (3, 5, (80, 0, 0)),
        (9, 11, (0, 40, 0)),
    ]
    assert shown.plain == "ab ab ab ab"


def test_a_text_whose_words_change_nothing_stays_as_it_is() -> None:
    shown = _coloured("ab ab", explanation(0.0, 0.0), 0.0)
    assert not any(span.style.bgcolor for span in shown.spans)  # type: ignore[union-attr]
    assert _bar(0.0, 0.0).plain == ""
