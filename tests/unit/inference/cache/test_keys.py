"""No two things share a key, and what does not shape a value does not change its key."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbiont.engine.row import Row
from symbiont.inference.cache.keys import Scope, array_parts, frame

PARTS = st.lists(st.binary(max_size=12), max_size=4)
BASE, BUNDLE = "b" * 64, "d" * 64
SCOPE = Scope.of_rows("t", BASE, BUNDLE)
ROW = Row(np.array([1, 2, 3], np.int32), "d" * 64, 0, np.array([0.5], np.float32))


@given(PARTS, PARTS)
def test_frames_are_equal_only_where_their_parts_are(first: list[bytes], second: list[bytes]) -> None:
    assert (frame(first) == frame(second)) == (first == second)


@given(PARTS, PARTS, PARTS, PARTS)
def test_no_frame_runs_into_the_next(a: list[bytes], b: list[bytes], c: list[bytes], d: list[bytes]) -> None:
    assert (frame(a) + frame(b) == frame(c) + frame(d)) == ((a, b) == (c, d))


@pytest.mark.parametrize(
    ("first", "second"),
    [([b"ab", b"c"], [b"a", b"bc"]), ([b"", b"a"], [b"a", b""]), ([b"a"], [b"a", b""]), ([], [b""])],
)
def test_where_a_part_ends_counts(first: list[bytes], second: list[bytes]) -> None:
    assert b"".join(first) == b"".join(second)
    assert SCOPE.key(*first) != SCOPE.key(*second)


def read_frame(text: bytes, at: int = 0) -> tuple[list[bytes], int]:
    """Reads a frame back, which shows that nothing of its parts is lost."""

    def number() -> int:
        nonlocal at
        at += 8
        return int.from_bytes(text[at - 8 : at], "little")

    parts = []
    for _ in range(number()):
        length = number()
        parts.append(text[at : at + length])
        at += length
    return parts, at


@given(st.lists(PARTS, max_size=3))
def test_frames_can_be_read_back(frames: list[list[bytes]]) -> None:
    text, at, found = b"".join(map(frame, frames)), 0, []
    while at < len(text):
        parts, at = read_frame(text, at)
        found.append(parts)
    assert found == frames


@st.composite
def arrays(draw: Any) -> np.ndarray[Any, Any]:
    """Small arrays of which many have the same bytes."""
    dtype = draw(st.sampled_from(["<i4", "<i8", "<f4", "<u4"]))
    shape = draw(st.sampled_from([(0,), (1,), (2,), (4,), (1, 2), (2, 1), (2, 2)]))
    return np.full(shape, draw(st.integers(0, 1)), dtype)


@given(arrays(), arrays())
def test_arrays_differ_by_type_shape_and_bytes(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> None:
    same = a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    assert (array_parts(a) == array_parts(b)) == same


@pytest.mark.parametrize(
    "other",
    [
        replace(ROW, input_ids=np.array([1, 2], np.int32)),
        replace(ROW, input_ids=np.array([1, 2, 4], np.int32)),
        replace(ROW, input_ids=np.array([1, 2, 3], np.int64)),
        replace(ROW, input_ids=np.array([[1, 2, 3]], np.int32)),
        replace(ROW, segment_start=1),
        replace(ROW, features=np.array([], np.float32)),
        replace(ROW, features=np.array([0.25], np.float32)),
        replace(ROW, features=np.array([0.0], np.float32)),
        replace(ROW, features=np.array([-0.0], np.float32)),
        # The last id's bytes as a feature.
        Row(ROW.input_ids[:2], "d" * 64, 0, np.array([3], np.int32).view(np.float32)),
    ],
)
def test_everything_that_shapes_a_row_is_in_its_key(other: Row) -> None:
    assert SCOPE.row_key(other) != SCOPE.row_key(ROW)


def test_all_these_rows_differ_from_one_another() -> None:
    values = [0.0, -0.0, np.nan, np.float32(1e-45)]
    keys = {SCOPE.row_key(replace(ROW, features=np.array([value], np.float32))) for value in values}
    assert len(keys) == len(values)


def test_who_waits_for_a_row_is_not_in_its_key() -> None:
    assert SCOPE.row_key(replace(ROW, expires=time.monotonic())) == SCOPE.row_key(ROW)


@pytest.mark.parametrize(
    "scope",
    [
        Scope.of_rows("u", BASE, BUNDLE),
        Scope.of_rows("t", "e" * 64, BUNDLE),
        Scope.of_rows("t", BASE, "e" * 64),
        # Base and bundle change places.
        Scope.of_rows("t", BUNDLE, BASE),
        Scope("texts", "t", BASE, BUNDLE),
        # The name of one goes over into the next.
        Scope("rowst", "", BASE, BUNDLE),
        Scope("rows", f"t{BASE}", BUNDLE),
        Scope("rows", "t", BASE + BUNDLE),
    ],
)
def test_everything_that_shapes_a_call_is_in_its_keys(scope: Scope) -> None:
    assert scope.key(b"x") != SCOPE.key(b"x")


def test_tokens_depend_on_the_tokenizer_and_on_where_it_cuts() -> None:
    scopes = [Scope.of_texts(*of) for of in (("t", "c", 8), ("t", "d", 8), ("t", "c", 9), ("u", "c", 8))]
    assert len({scope.key(b"x") for scope in scopes}) == len(scopes)
