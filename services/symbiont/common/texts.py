"""The one rule for a text that a caller sends: not blank, and no larger than a limit."""

from symbiont.common.errors import InvalidArgument

EMPTY = "TEXT_EMPTY"
TOO_LONG = "TEXT_TOO_LONG"


def check_text(field: str, text: str, max_bytes: int) -> None:
    """Refuses a text without content, or of more than `max_bytes` bytes of UTF-8; the error names the field."""
    # A code point takes at most four bytes, so most texts need not be encoded to be measured.
    if 4 * len(text) > max_bytes and (size := len(text.encode())) > max_bytes:
        raise InvalidArgument(field, f"it has {size} bytes of UTF-8, at most {max_bytes} are allowed", reason=TOO_LONG)
    if not text or text.isspace():
        raise InvalidArgument(field, "it is empty" if not text else "it is only white space", reason=EMPTY)
