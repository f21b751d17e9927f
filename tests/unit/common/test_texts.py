"""A text is refused when it is blank or over its limit in bytes of UTF-8."""

import pytest

from symbiont.common.errors import InvalidArgument
from symbiont.common.texts import check_text


@pytest.mark.parametrize("text", ["a", " a ", "a" * 12, "好" * 4, "\x00", "\u200b"])
def test_what_passes(text: str) -> None:
    check_text("texts[0]", text, 12)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "TEXT_EMPTY"),
        (" \t\n\u3000", "TEXT_EMPTY"),
        ("a" * 13, "TEXT_TOO_LONG"),
        ("好" * 5, "TEXT_TOO_LONG"),
        ("😀" * 4, "TEXT_TOO_LONG"),
        (" " * 100, "TEXT_TOO_LONG"),
    ],
)
def test_what_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_text("texts[7]", text, 12)
    assert (caught.value.field, caught.value.reason) == ("texts[7]", reason)
