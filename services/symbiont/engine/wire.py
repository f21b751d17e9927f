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
ERRORS = "ERRORS"

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


def pack_answers(answers: Sequence[Array | SymbiontError]) -> tuple[Array, Int32s, Objects]:
    """Returns (OUTPUT [1, all values], OUTPUT_LENGTHS [1, rows], ERRORS [1, rows]).

    A row that failed has no values and a text in ERRORS, which is empty for the others: it spoils no neighbour.
    """
    values = [np.empty(0) if isinstance(answer, SymbiontError) else answer for answer in answers]
    lengths = np.array([len(value) for value in values], dtype=np.int32)
    texts = [encode_error(answer).encode() if isinstance(answer, SymbiontError) else b"" for answer in answers]
    return np.concatenate(values).astype(np.float32)[None, :], lengths[None, :], np.array(texts, np.object_)[None, :]


def unpack_answers(
    values: npt.NDArray[Any], lengths: npt.NDArray[Any], errors: npt.NDArray[Any]
) -> list[Array | SymbiontError]:
    """The inverse of `pack_answers`."""
    rows = np.split(values.reshape(-1), np.cumsum(lengths.reshape(-1)[:-1]))
    texts = [_text(error) for error in errors.reshape(-1)]
    return [_error(text) if text else row for row, text in zip(rows, texts, strict=True)]


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


def _error(text: str) -> SymbiontError:
    return decode_error(text) or SymbiontError(text)


def _text(value: Any) -> str:
    # A digest that is no UTF-8 is no digest either; it stays itself, near enough, in the error.
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
