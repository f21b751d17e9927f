"""The tensors and error texts that a client and the host model exchange, and how rows are packed into them.

One request carries one group of rows, laid end to end; each tensor has a leading batch dimension of 1.
"""

import math
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from symbiont.common.errors import (
    DeadlineExceeded,
    IntegrityError,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    SymbiontError,
    Unavailable,
)
from symbiont.engine.row import NO_FEATURES, Floats, HostAnswer, Row, Times

INPUT_IDS = "INPUT_IDS"
ROW_LENGTHS = "ROW_LENGTHS"
BUNDLE_DIGEST = "BUNDLE_DIGEST"
# The rest of the inputs are optional.
SEGMENT_STARTS = "SEGMENT_STARTS"
# Milliseconds that somebody waits for the row; 0: for ever; less: nobody does any more.
TIME_LEFT = "TIME_LEFT"
# A parameter of the request: lanes that it leaves to others.
SPARE = "spare_lanes"
FEATURES = "FEATURES"
FEATURE_LENGTHS = "FEATURE_LENGTHS"
OUTPUT = "OUTPUT"
OUTPUT_LENGTHS = "OUTPUT_LENGTHS"
ERRORS = "ERRORS"
# Microseconds: in the host's queue, in the computation of the batch.
TIMES = "TIMES"
OUTPUTS = (OUTPUT, OUTPUT_LENGTHS, ERRORS, TIMES)

Int32s = npt.NDArray[np.int32]
Tensor = npt.NDArray[Any]

NO_TIMES = Times()
_LONGEST = 2**31 - 1

# Triton passes on a text and a coarse code; the text says exactly which error it was. It may add lines of its own.
_ERROR = re.compile(r"\[symbiont:(?P<reason>[A-Z_]+)(?::(?P<field>\S*))?\] (?P<message>.*)")
_CLASSES: dict[str, type[SymbiontError]] = {
    cls.default_reason: cls for cls in (DeadlineExceeded, IntegrityError, NotFound, ResourceExhausted, Unavailable)
}


def pack_rows(rows: Sequence[Row]) -> dict[str, Tensor]:
    """Returns the input tensors by name: ids [1, all ids], features [1, all features], the others [1, rows]."""
    tensors: dict[str, Tensor] = {
        INPUT_IDS: np.concatenate([row.input_ids for row in rows]).astype(np.int32),
        ROW_LENGTHS: np.array([len(row.input_ids) for row in rows], dtype=np.int32),
        BUNDLE_DIGEST: np.array([row.bundle.encode() for row in rows], dtype=np.object_),
    }
    if any(row.segment_start for row in rows):
        tensors[SEGMENT_STARTS] = np.array([row.segment_start for row in rows], dtype=np.int32)
    if any(row.expires < math.inf for row in rows):
        tensors[TIME_LEFT] = _time_left(rows)
    if any(len(row.features) for row in rows):
        tensors[FEATURES] = np.concatenate([row.features for row in rows]).astype(np.float32)
        tensors[FEATURE_LENGTHS] = np.array([len(row.features) for row in rows], dtype=np.int32)
    return {name: tensor[None, :] for name, tensor in tensors.items()}


def _time_left(rows: Sequence[Row]) -> Int32s:
    now = time.monotonic()
    return np.array([_milliseconds(row.expires - now) for row in rows], dtype=np.int32)


def _milliseconds(left: float) -> int:
    if left == math.inf:
        return 0
    return min(math.ceil(left * 1e3), _LONGEST) if left > 0 else -1


def unpack_rows(tensors: Mapping[str, npt.NDArray[Any]]) -> list[Row]:
    """The inverse of `pack_rows`; what it returns is copied, because Triton's memory goes with the request.

    Raises:
        InvalidArgument: the tensors do not fit together; it names one.
    """
    flat = {name: tensor.reshape(-1) for name, tensor in tensors.items()}
    count = len(flat[ROW_LENGTHS])
    if not count:
        raise InvalidArgument(ROW_LENGTHS, "there are no rows")
    flat = {SEGMENT_STARTS: np.zeros(count, np.int32), TIME_LEFT: np.zeros(count, np.int32)} | flat
    for name in (BUNDLE_DIGEST, SEGMENT_STARTS, TIME_LEFT):
        if len(flat[name]) != count:
            raise InvalidArgument(name, f"has {len(flat[name])} values for {count} rows")
    ids = _cut(flat[INPUT_IDS].astype(np.int32), flat[ROW_LENGTHS], ROW_LENGTHS, "ids", least=1)
    features = [NO_FEATURES] * count
    if FEATURES in flat:
        lengths = flat.get(FEATURE_LENGTHS, np.empty(0, np.int32))
        if len(lengths) != count:
            raise InvalidArgument(FEATURE_LENGTHS, f"has {len(lengths)} values for {count} rows")
        features = _cut(flat[FEATURES].astype(np.float32), lengths, FEATURE_LENGTHS, "features", least=0)
    now = time.monotonic()
    expires = [now + left / 1e3 if left else math.inf for left in flat[TIME_LEFT].tolist()]
    digests, starts = map(_text, flat[BUNDLE_DIGEST]), flat[SEGMENT_STARTS].tolist()
    return list(map(Row, ids, digests, starts, features, expires))


def _cut(values: npt.NDArray[Any], lengths: npt.NDArray[Any], field: str, what: str, *, least: int) -> list[Any]:
    if lengths.min() < least or int(lengths.sum(dtype=np.int64)) != len(values):
        raise InvalidArgument(field, f"must be at least {least} and add up to the {len(values)} {what}")
    return np.split(values, np.cumsum(lengths[:-1]))


def pack_answers(answers: Sequence[Floats | SymbiontError], times: Times = NO_TIMES) -> dict[str, Tensor]:
    """Returns the output tensors by name: values [1, all values], times [1, 3], the others [1, rows].

    A row that failed has no values and a text in ERRORS, which is empty for the others: it spoils no neighbour.
    """
    values = [NO_FEATURES if isinstance(answer, SymbiontError) else answer.reshape(-1) for answer in answers]
    texts = [encode_error(answer).encode() if isinstance(answer, SymbiontError) else b"" for answer in answers]
    tensors: dict[str, Tensor] = {
        OUTPUT: np.concatenate(values).astype(np.float32),
        OUTPUT_LENGTHS: np.array([len(value) for value in values], dtype=np.int32),
        ERRORS: np.array(texts, np.object_),
        TIMES: np.array([min(int(seconds * 1e6), _LONGEST) for seconds in times], dtype=np.int32),
    }
    return {name: tensor[None, :] for name, tensor in tensors.items()}


def unpack_answers(tensors: Mapping[str, npt.NDArray[Any]]) -> HostAnswer:
    """The inverse of `pack_answers`."""
    lengths, errors = tensors[OUTPUT_LENGTHS].reshape(-1), tensors[ERRORS].reshape(-1)
    values = np.split(tensors[OUTPUT].reshape(-1), np.cumsum(lengths[:-1]))
    rows = [_error(text) if (text := _text(e)) else row for row, e in zip(values, errors, strict=True)]
    return HostAnswer(rows, Times(*(tensors[TIMES].reshape(-1) / 1e6).tolist()))


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
