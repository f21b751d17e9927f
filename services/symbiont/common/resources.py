"""Resource names: `bases/{base}`, `models/{model}/versions/{version}` and their kin (AIP-122)."""

import re

from symbiont.common.errors import InvalidArgument

_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_DIGEST = re.compile(r"[0-9a-f]{64}")
# Of a name in an error: more than any has, and not so much that what was wrong with it is lost.
_TOLD = 200


def check_id(field: str, value: str) -> str:
    """Returns a resource id that is well-formed: 1 to 63 of `a-z0-9-`, beginning with a letter, not ending with `-`."""
    if not _ID.fullmatch(value):
        problem = f"{value[:_TOLD]!r} is not an id: 1 to 63 of a-z, 0-9 and '-', beginning with a letter"
        raise InvalidArgument(field, problem)
    return value


def parse_name(field: str, collection: str, name: str) -> str:
    """Returns the id in `{collection}/{id}`."""
    prefix, slash, identifier = name.partition("/")
    if prefix != collection or not slash:
        raise _malformed(field, name, f"{collection}/{{id}}")
    return check_id(field, identifier)


def parse_digest_name(field: str, collection: str, name: str) -> str:
    """Returns the digest in `{collection}/{digest}`."""
    prefix, _, digest = name.partition("/")
    if prefix != collection or not _DIGEST.fullmatch(digest):
        raise _malformed(field, name, f"{collection}/{{sha256 in hex}}")
    return digest


def parse_digest_or_id(field: str, collection: str, name: str) -> str:
    """Returns what stands after the slash of `{collection}/{digest}` or `{collection}/{id}`."""
    prefix, _, key = name.partition("/")
    if prefix != collection or not (_DIGEST.fullmatch(key) or _ID.fullmatch(key)):
        raise _malformed(field, name, f"{collection}/{{sha256 in hex}} or {collection}/{{id}}")
    return key


def parse_version_name(field: str, name: str) -> tuple[str, int]:
    """Returns model id and version number of `models/{model}/versions/{version}`."""
    parts = name.split("/")
    if len(parts) != 4 or parts[0] != "models" or parts[2] != "versions" or not re.fullmatch(r"[1-9]\d{0,9}", parts[3]):
        raise _malformed(field, name, "models/{model}/versions/{number}")
    return check_id(field, parts[1]), int(parts[3])


def _malformed(field: str, name: str, form: str) -> InvalidArgument:
    return InvalidArgument(field, f"{name[:_TOLD]!r} is not a resource name of the form {form}")
