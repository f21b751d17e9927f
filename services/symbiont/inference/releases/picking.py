"""Which calls a candidate answers."""

import hashlib
import random

from symbiont.common.errors import InvalidArgument
from symbiont.inference.types import Release

LONGEST_KEY = 128
_SPACE = 1 << 64


def check_key(field: str, key: str) -> str:
    """Returns a routing key that is allowed: empty for none, or up to 128 bytes of UTF-8."""
    size = len(key.encode())
    if size > LONGEST_KEY:
        raise InvalidArgument(field, f"it has {size} bytes, at most {LONGEST_KEY} are allowed")
    return key


def picks_candidate(release: Release, key: str) -> bool:
    """Whether a call is the candidate's: by its routing key, or, without one, by chance."""
    place = position(release.name, key) if key else 100 * random.random()  # noqa: S311, no secret depends on it
    return place < release.weight


def position(release: str, key: str) -> float:
    """Returns where a key stands in a release, in [0, 100).

    A key keeps its place for as long as the release runs, so that a higher weight adds keys to those that the candidate
    has. The release's name is part of what is hashed: another release tries another part of the callers.
    """
    digest = hashlib.sha256(f"{release}\0{key}".encode()).digest()
    return 100 * int.from_bytes(digest[:8]) / _SPACE
