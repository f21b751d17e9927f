"""Positions follow the changes of a text."""

from hypothesis import given
from hypothesis import strategies as st

from symbiont.training.data.rows import LabelKind, Row
from symbiont.training.gate.edits import apply, move_all
from symbiont.training.gate.moving import moved, widened


def test_parts_follow() -> None:
    edited = apply("ab<br>cd ef", [(2, 6, " "), (8, 9, "")])
    assert edited.text == "ab cdef"
    assert edited.move(0, 2) == (0, 2)
    assert edited.move(6, 8) == (3, 5)
    assert edited.move(9, 11) == (5, 7)
    assert edited.move(0, 11) == (0, 7)


def test_a_border_inside_a_change_is_nowhere_or_moves_outward() -> None:
    edited = apply("call 555 now", [(5, 8, "{PHONE}")])
    assert edited.move(6, 8) is None
    assert edited.widen(6, 8) == (5, 12)
    assert edited.widen(0, 6) == (0, 12)


def test_a_part_that_is_gone_is_nowhere() -> None:
    assert apply("a  b", [(1, 3, "")]).move(1, 3) is None


def test_what_changes_nothing_is_no_change() -> None:
    assert apply("abc", [(0, 1, "a")]).edits == ()


@given(
    st.text(max_size=30), st.lists(st.tuples(st.integers(0, 29), st.integers(1, 4), st.text(max_size=3)), max_size=5)
)
def test_what_is_between_changes_stays_what_it_was(text: str, wanted: list[tuple[int, int, str]]) -> None:
    edits, at = [], 0
    for start, length, new in sorted(wanted):
        if start >= at and start + length <= len(text):
            edits.append((start, start + length, new))
            at = start + length
    edited = apply(text, edits)
    for place in range(len(text)):
        if not any(start <= place < end for start, end, _ in edits):
            span = edited.move(place, place + 1)
            assert span is not None
            assert edited.text[slice(*span)] == text[place]


def test_several_changes() -> None:
    one = apply("x  yz", [(1, 3, " ")])
    two = apply(one.text, [(0, 1, "aa")])
    assert (two.text, move_all([one, two], 3, 5)) == ("aa yz", (3, 5))


def test_marks_and_places_follow_in_their_own_text() -> None:
    text, pair = apply("in  Rome", [(2, 4, " ")]), apply("  it is Rome", [(0, 2, "")])
    row = Row("in  Rome", ((4, 8, "city"),))
    assert moved(row, LabelKind.ENTITIES, [text], []) == Row("in Rome", ((3, 7, "city"),))
    question = Row("in  Rome", ((8, 12),), "  it is Rome")
    assert moved(question, LabelKind.ANSWERS, [text], [pair]) == Row("in Rome", ((6, 10),), "it is Rome")
    assert moved(Row("in  Rome", ((3, 8, "city"),)), LabelKind.ENTITIES, [text], []) is None


def test_two_marks_that_become_one_are_no_label() -> None:
    edited = apply("Ann Lee", [(0, 7, "{PERSON}")])
    assert widened(Row("Ann Lee", ((0, 3, "a"), (4, 7, "b"))), LabelKind.ENTITIES, edited, apply("", [])) is None
    one = widened(Row("Ann Lee", ((0, 3, "a"),)), LabelKind.ENTITIES, edited, apply("", []))
    assert one == Row("{PERSON}", ((0, 8, "a"),))
