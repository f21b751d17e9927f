"""Resource names: `bases/{base}`, `models/{model}/versions/{version}` and their kin (AIP-122)."""

import re

from symbiont.common.errors import InvalidArgument

_PLAIN = r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?"
_ID = re.compile(_PLAIN)
# Collections of which each tenant has its own.
OWNED = ("models", "datasets", "jobs", "catalogues")
# Inside, it stands between the tenant that owns a resource and the id: `bank~mood`. No caller can say it.
MARK = "~"
OWNED_ID = rf"([a-z]([a-z0-9-]{{0,38}}[a-z0-9])?{MARK})?{_PLAIN}"
_OWNED_ID = re.compile(OWNED_ID)
_DIGEST = re.compile(r"[0-9a-f]{64}")
# Of a name in an error: more than any has, and not so much that what was wrong with it is lost.
_TOLD = 200


def check_id(field: str, value: str) -> str:
    """Returns a resource id that is well-formed: 1 to 63 of `a-z0-9-`, beginning with a letter, not ending with `-`."""
    if not _ID.fullmatch(value):
        raise _no_id(field, value)
    return value


def check_owned_id(field: str, value: str) -> str:
    """Returns the id of a resource of a tenant, which stands before it, or of the installation."""
    if not _OWNED_ID.fullmatch(value):
        raise _no_id(field, value)
    return value


def parse_name(field: str, collection: str, name: str) -> str:
    """Returns the id in `{collection}/{id}`."""
    prefix, slash, identifier = name.partition("/")
    if prefix != collection or not slash:
        raise _malformed(field, name, f"{collection}/{{id}}")
    return check_owned_id(field, identifier) if collection in OWNED else check_id(field, identifier)


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
    return check_owned_id(field, parts[1]), int(parts[3])


def _no_id(field: str, value: str) -> InvalidArgument:
    problem = f"{value[:_TOLD]!r} is not an id: 1 to 63 of a-z, 0-9 and '-', beginning with a letter"
    return InvalidArgument(field, problem)


def _malformed(field: str, name: str, form: str) -> InvalidArgument:
    return InvalidArgument(field, f"{name[:_TOLD]!r} is not a resource name of the form {form}")
