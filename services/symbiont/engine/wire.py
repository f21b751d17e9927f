"""The tensors and error texts that a client and the host model exchange, and how rows are packed into them.

One request carries one group of rows, laid end to end; each tensor has a leading batch dimension of 1.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from symbiont.common.errors import (
    IntegrityError,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    SymbiontError,
    Unavailable,
)
from symbiont.engine.engine import Row
from symbiont.engine.runtime import Array

INPUT_IDS = "INPUT_IDS"
ROW_LENGTHS = "ROW_LENGTHS"
BUNDLE_DIGEST = "BUNDLE_DIGEST"
OUTPUT = "OUTPUT"
OUTPUT_LENGTHS = "OUTPUT_LENGTHS"

Int32s = npt.NDArray[np.int32]
Objects = npt.NDArray[np.object_]

# Triton passes on a text and a coarse code; the text says exactly which error it was. It may add lines of its own.
_ERROR = re.compile(r"\[symbiont:(?P<reason>[A-Z_]+)(?::(?P<field>\S*))?\] (?P<message>.*)")
_CLASSES: dict[str, type[SymbiontError]] = {
    cls.default_reason: cls for cls in (IntegrityError, NotFound, ResourceExhausted, Unavailable)
}


def pack_rows(rows: Sequence[Row]) -> tuple[Int32s, Int32s, Objects]:
    """Returns (INPUT_IDS [1, all ids], ROW_LENGTHS [1, rows], BUNDLE_DIGEST [1, rows])."""
    ids = np.concatenate([row.input_ids for row in rows]).astype(np.int32)
    lengths = np.array([len(row.input_ids) for row in rows], dtype=np.int32)
    digests = np.array([row.bundle.encode() for row in rows], dtype=np.object_)
    return ids[None, :], lengths[None, :], digests[None, :]


def unpack_rows(ids: npt.NDArray[Any], lengths: npt.NDArray[Any], digests: npt.NDArray[Any]) -> list[Row]:
    """The inverse of `pack_rows`; the ids are copied, because Triton's memory goes with the request.

    Raises:
        InvalidArgument: the three tensors do not fit together.
    """
    ids, lengths, digests = (tensor.reshape(-1) for tensor in (ids, lengths, digests))
    if not len(lengths):
        raise InvalidArgument(ROW_LENGTHS, "there are no rows")
    if len(lengths) != len(digests):
        raise InvalidArgument(BUNDLE_DIGEST, f"has {len(digests)} values for {len(lengths)} rows")
    if lengths.min() < 1 or int(lengths.sum(dtype=np.int64)) != len(ids):
        raise InvalidArgument(ROW_LENGTHS, f"must be positive and add up to the {len(ids)} ids")
    parts = np.split(ids.astype(np.int32), np.cumsum(lengths[:-1]))
    return [Row(part, _text(digest)) for part, digest in zip(parts, digests, strict=True)]


def pack_answers(answers: Sequence[Array]) -> tuple[Array, Int32s]:
    """Returns (OUTPUT [1, all values], OUTPUT_LENGTHS [1, rows])."""
    values = np.concatenate(answers).astype(np.float32)
    lengths = np.array([len(answer) for answer in answers], dtype=np.int32)
    return values[None, :], lengths[None, :]


def unpack_answers(values: npt.NDArray[Any], lengths: npt.NDArray[Any]) -> list[Array]:
    """The inverse of `pack_answers`."""
    return np.split(values.reshape(-1), np.cumsum(lengths.reshape(-1)[:-1]))


def encode_error(error: SymbiontError) -> str:
    """Returns the text that stands for an error on the wire."""
    field = f":{error.field}" if error.field else ""
    message = str(error).removeprefix(f"{error.field}: ") if error.field else str(error)
    # One line, for what Triton adds begins on the next.
    return f"[symbiont:{type(error).default_reason}{field}] {' '.join(message.split())}"


def decode_error(text: str) -> SymbiontError | None:
    """The inverse of `encode_error`; None for a text that some other part wrote."""
    match = _ERROR.search(text)
    if match is None:
        return None
    if match["reason"] == InvalidArgument.default_reason:
        return InvalidArgument(match["field"] or "rows", match["message"])
    return _CLASSES.get(match["reason"], SymbiontError)(match["message"])


def _text(digest: Any) -> str:
    # A digest that is no ASCII is no digest either; it stays itself, near enough, in the error.
    return digest.decode("ascii", "backslashreplace") if isinstance(digest, bytes) else str(digest)
