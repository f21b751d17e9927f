"""Named parts of texts, as files give them, and the baseline that remembers them."""

from typing import Any

import pytest

from symbiont.solutions.baselines.remembering import dictionary
from symbiont.solutions.marking import marks_of
from symbiont.solutions.recipe import Recipe
from symbiont.solutions.rows import SolutionRow

TEXT = "明天北京下雨吗 in Beijing today"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ([{"start": 11, "end": 18, "label": "place"}, {"start": 2, "end": 4, "label": "place"}], None),
        ('[{"start": 2, "end": 4, "label": "place"}, {"start": 11, "end": 18, "label": "place"}]', None),
        ({"place": ["北京", "Beijing"]}, None),
        ("O B-place O O B-place O", "明天 北京 下雨吗 in Beijing today"),
        # An inside tag that nothing begins marks nothing.
        ("I-time B-place O O B-place I-time", "明天 北京 下雨吗 in Beijing today"),
    ],
)
def test_parts_are_given_in_three_ways(raw: Any, words: str | None) -> None:
    assert marks_of(TEXT, raw, words) == [(2, 4, "place"), (11, 18, "place")]


def test_several_words_are_one_part() -> None:
    assert marks_of("go to New York", "O O B-place I-place", "go to New York") == [(6, 14, "place")]
    assert marks_of("nothing", "", None) == []


@pytest.mark.parametrize(
    ("raw", "words", "problem"),
    [
        ("O O", "one", "1 words and 2 tags"),
        ("O O", "明天 上海", "'上海' does not stand in the text"),
        ({"place": "Paris"}, None, "'Paris' does not stand in the text"),
        ([{"start": 1, "end": 2}], None, "has no label"),
        ([1], None, "list of objects"),
        (7, None, "list of objects"),
    ],
)
def test_what_is_no_part_is_said(raw: Any, words: str | None, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        marks_of(TEXT, raw, words)


def row(text: str, **parts: str) -> SolutionRow:
    label = [{"start": a, "end": b, "label": name} for a, b, name in marks_of(text, parts)]
    return SolutionRow(text, label=label)


def test_words_that_were_marked_are_found_again() -> None:
    train = [row("from New York", place="New York"), row("in York", place="York"), row("去北京", place="北京")]
    test = [row("to new york now", place="new york"), row("Yorkshire"), row("我在北京吗", place="北京"), row("x")]
    found = dictionary(Recipe.model_construct(), train, test)
    assert [found.predicted.of(n).tolist() for n in range(4)] == [[[3, 11, 0]], [], [[2, 4, 0]], []]
    assert [found.truth.of(n).tolist() for n in range(4)] == [[[3, 11, 0]], [], [[2, 4, 0]], []]
