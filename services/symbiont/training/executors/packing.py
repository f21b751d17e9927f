"""A worker's spec in one environment variable, for places that share no folder with the controller."""

import base64
import gzip
import zlib

from symbiont.common.errors import IntegrityError, InvalidArgument

SPEC_VARIABLE = "SYMBIONT_WORKER_SPEC"
# Linux takes a variable of 128 KiB, name and end included. Ray repeats all variables of a job in one more, and a job
# over the limit waits there for ever, without a word, on a place that it keeps: the rest is room for the others.
MAX_CHARACTERS = 112 << 10


def pack_spec(spec_json: str) -> str:
    """Returns the JSON form of a WorkerSpec, compressed, in printable characters.

    Raises:
        InvalidArgument: the result would not fit into an environment variable.
    """
    packed = base64.b64encode(gzip.compress(spec_json.encode(), mtime=0)).decode()
    if len(packed) > MAX_CHARACTERS:
        raise InvalidArgument(
            "spec.classification.labels",
            f"the spec takes {len(packed)} characters, packed, and {MAX_CHARACTERS} can be handed to a worker on "
            "another machine: shorten the labels, which are likely most of it, or use fewer",
        )
    return packed


def unpack_spec(packed: str) -> str:
    """Returns what was packed.

    Raises:
        IntegrityError: it is not what `pack_spec` made.
    """
    try:
        spec_json = gzip.decompress(base64.b64decode(packed, validate=True)).decode()
    except (ValueError, zlib.error, OSError, EOFError) as exc:
        raise IntegrityError(f"the packed spec of a worker is damaged: {exc}") from exc
    if not spec_json:
        raise IntegrityError("the packed spec of a worker is empty")
    return spec_json
