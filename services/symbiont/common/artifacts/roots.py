"""The root of an artifact store, a folder or the URL of a place in an object store, and the variables of its cache."""

import re
from pathlib import Path

# `memory` is fsspec's own, for tests: it ends with its process.
SCHEMES = ("s3", "memory")
FOLDER_VARIABLE = "SYMBIONT_ARTIFACT_CACHE"
BYTES_VARIABLE = "SYMBIONT_ARTIFACT_CACHE_BYTES"
DEFAULT_BYTES = 20 << 30
_SEGMENT = re.compile(r"(?!\.{1,2}$)[\w.=+@-]+", re.ASCII)
_SWALLOWED = re.compile(rf"({'|'.join(SCHEMES)}):/(?=[^/])")


def is_url(root: Path | str) -> bool:
    """Whether a root lies in an object store."""
    return isinstance(parse_root(root), str)


def parse_root(root: Path | str) -> Path | str:
    """Returns a folder as a Path, and a URL as a string without superfluous slashes.

    Raises:
        ValueError: a URL that names no store that there is, or no place in it.
    """
    # A Path takes the two slashes of a URL for one.
    text = _SWALLOWED.sub(r"\1://", str(root), count=1) if isinstance(root, Path) else root
    scheme, separator, rest = text.partition("://")
    if not separator:
        return Path(text)
    if scheme not in SCHEMES:
        raise ValueError(f"{text!r} is neither a folder nor s3://bucket/prefix")
    segments = [segment for segment in rest.split("/") if segment]
    if not segments or not all(_SEGMENT.fullmatch(segment) for segment in segments):
        raise ValueError(f"{text!r} names no place in an object store; write s3://bucket/prefix, without keys in it")
    return f"{scheme}://{'/'.join(segments)}"


def absolute_root(root: Path | str) -> Path | str:
    """Returns a root that means the same in another working folder."""
    parsed = parse_root(root)
    return parsed if isinstance(parsed, str) else parsed.absolute()
