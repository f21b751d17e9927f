"""Stop texts end a text at one place, however it is cut into pieces, and never leak."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbiont.inference.generation.stopping import StopFilter

TEXTS = st.text("ab\n你", max_size=30)
STOPS = st.lists(st.text("ab\n你", min_size=1, max_size=4), max_size=4)


def one_by_one(text: str, stops: list[str]) -> tuple[str, str]:
    """The rule itself: the first stop text to be complete, of several at once the longest, ends the text."""
    for end in range(len(text) + 1):
        found = [stop for stop in stops if text[:end].endswith(stop)]
        if found:
            longest = max(found, key=len)
            return text[: end - len(longest)], longest
    return text, ""


@given(TEXTS, STOPS, st.lists(st.integers(0, 30), max_size=6))
def test_any_cut_gives_the_same(text: str, stops: list[str], cuts: list[int]) -> None:
    places = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    stop_filter, sent = StopFilter(stops), ""
    expected, found = one_by_one(text, stops)
    for start, end in pairwise(places):
        sent += stop_filter.feed(text[start:end])
        # Nothing is sent that would have to be taken back.
        assert expected.startswith(sent)
    if not stop_filter.found:
        sent += stop_filter.flush()
    assert (sent, stop_filter.found) == (expected, found)


@pytest.mark.parametrize(
    ("pieces", "stops", "sent"),
    [
        (["Hello wor", "ld"], ["world"], ["Hello ", ""]),
        (["a\n", "\nb"], ["\n\n"], ["a", ""]),
        (["abc", "d"], ["bcd", "bc"], ["a", ""]),
        (["ab", "x"], ["abc"], ["", "abx"]),
        (["abab", "ac"], ["abac"], ["ab", ""]),
    ],
)
def test_what_may_be_a_beginning_is_held_back(pieces: list[str], stops: list[str], sent: list[str]) -> None:
    stop_filter = StopFilter(stops)
    assert [stop_filter.feed(piece) for piece in pieces] == sent
