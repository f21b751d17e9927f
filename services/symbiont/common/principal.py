"""Who calls, as the call says it."""

from collections.abc import Iterable
from typing import Any

from symbiont.common.errors import InvalidArgument

METADATA_KEY = "symbiont-principal"
LONGEST = 128


def caller(context: Any) -> str:
    """Returns who calls, by the metadata of the call; empty where it does not say.

    Raises:
        InvalidArgument: what it says is no name.
    """
    return principal_of(context.invocation_metadata() or ())


def principal_of(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """Returns the principal that metadata names; errors as of `caller`."""
    said = next((value for key, value in metadata if key == METADATA_KEY), "")
    return check_principal(METADATA_KEY, said if isinstance(said, str) else "")


def check_principal(field: str, name: str) -> str:
    """Returns a name of at most 128 printable ASCII characters, which is all that metadata can carry."""
    if len(name) > LONGEST or not (name.isascii() and name.isprintable()):
        raise InvalidArgument(field, f"a name has at most {LONGEST} printable ASCII characters")
    return name
