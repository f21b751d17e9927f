"""Pages follow one another without gaps, and a token of another's making is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbiont.common.errors import InvalidArgument
from symbiont.common.pages import DEFAULT_SIZE, LARGEST_SIZE, decode_token, encode_token, page_of, page_size


@pytest.mark.parametrize(("asked", "given_size"), [(0, DEFAULT_SIZE), (1, 1), (LARGEST_SIZE + 1, LARGEST_SIZE)])
def test_the_size_has_a_default_and_a_limit(asked: int, given_size: int) -> None:
    assert page_size(asked) == given_size


def test_a_negative_size_is_refused_by_name() -> None:
    with pytest.raises(InvalidArgument) as caught:
        page_size(-1)
    assert caught.value.field == "page_size"


@given(st.sets(st.text(min_size=1)), st.integers(1, 5))
def test_all_items_come_once_and_in_order(keys: set[str], size: int) -> None:
    items = [(key, key) for key in sorted(keys)]
    seen: list[str] = []
    token = ""
    while True:
        page, token = page_of(items, size, token)
        seen += page
        assert len(page) <= size
        if not token:
            break
    assert seen == sorted(keys)


def test_items_that_come_in_another_order_come_once() -> None:
    """As from a database that passes over hyphens when it sorts."""
    keys = [f"a-{letter}{number}" for letter in "bcd" for number in range(3)] + [f"a{letter}" for letter in "bcd"]
    items = [(key, key) for key in sorted(keys, key=lambda key: key.replace("-", ""))]
    seen, token = page_of(items, 2, "")
    while token:
        page, token = page_of(items, 2, token)
        seen += page
    assert seen == sorted(keys)


def test_a_page_goes_on_after_a_key_that_was_removed() -> None:
    _, token = page_of([("a", 1), ("b", 2), ("c", 3)], 2, "")
    assert page_of([("a", 1), ("c", 3)], 2, token) == ([3], "")


@pytest.mark.parametrize("token", ["%%%", "YQ", "not base64!", "_w=="])
def test_a_foreign_token_is_refused_by_name(token: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        decode_token(token)
    assert caught.value.field == "page_token"


@given(st.text())
def test_a_token_keeps_its_key(key: str) -> None:
    assert decode_token(encode_token(key)) == key
