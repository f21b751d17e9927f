"""Pages of a list: a size with a default and a limit, and an opaque token that says where the next page begins."""

import base64
import binascii
from collections.abc import Sequence
from operator import itemgetter
from typing import TypeVar

from symbiont.common.errors import InvalidArgument

DEFAULT_SIZE = 100
LARGEST_SIZE = 1000
T = TypeVar("T")


def page_size(requested: int, default: int = DEFAULT_SIZE) -> int:
    """Returns the number of items to give; 0 asks for the default, more than the limit is cut to it (AIP-158)."""
    if requested < 0:
        raise InvalidArgument("page_size", f"{requested} is negative")
    return min(requested or default, LARGEST_SIZE)


def encode_token(last_key: str) -> str:
    """Returns the token of the page that begins after a key."""
    return base64.urlsafe_b64encode(last_key.encode()).decode()


def decode_token(token: str) -> str:
    """Returns the key that a page begins after; the empty string for the first page."""
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as exc:
        raise InvalidArgument("page_token", "it was not made by this service") from exc


def page_of(items: Sequence[tuple[str, T]], requested_size: int, token: str) -> tuple[list[T], str]:
    """Cuts one page out of (key, item) pairs, in the order of their keys; returns it with the token of the next.

    They come in any order: a database has its own, which need not be that by which keys are compared here.
    """
    size, after = page_size(requested_size), decode_token(token)
    rest = sorted((pair for pair in items if pair[0] > after), key=itemgetter(0))
    page = rest[:size]
    return [item for _, item in page], encode_token(page[-1][0]) if len(rest) > size else ""
