"""Tensors of the protocol: which ones a model takes and gives, and how their elements lie in raw bytes."""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbiont.common.errors import InvalidArgument

TEXT, INPUT_IDS, ATTENTION_MASK = "TEXT", "INPUT_IDS", "ATTENTION_MASK"
PROBABILITIES, LABEL = "PROBABILITIES", "LABEL"
BYTES, INT32, INT64, FP32 = "BYTES", "INT32", "INT64", "FP32"

DATATYPES = {TEXT: (BYTES,), INPUT_IDS: (INT32, INT64), ATTENTION_MASK: (INT32, INT64)}
OUTPUTS = (PROBABILITIES, LABEL)
# Raw contents are little-endian whatever the machine.
_DTYPES: dict[str, np.dtype[Any]] = {INT32: np.dtype("<i4"), INT64: np.dtype("<i8"), FP32: np.dtype("<f4")}
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class Tensor:
    """A tensor with its elements; those of BYTES are `bytes` in an array of objects."""

    name: str
    datatype: str
    values: NDArray[Any]


def check_header(name: str, datatype: str, shape: Sequence[int], max_rows: int) -> None:
    """Refuses an input by its name, datatype or shape, before its elements are looked at.

    TEXT has the shape [rows] or [rows, 1]; INPUT_IDS and ATTENTION_MASK have [rows, tokens].
    """
    if name not in DATATYPES:
        raise InvalidArgument(f"inputs[{name[:100]!r}]", f"there is no such input; there are {', '.join(DATATYPES)}")
    if datatype not in DATATYPES[name]:
        raise InvalidArgument(name, f"its datatype is {' or '.join(DATATYPES[name])}, not {datatype[:20]!r}")
    if name == TEXT:
        good, form = len(shape) == 1 or (len(shape) == 2 and shape[1] == 1), "[rows] or [rows, 1]"
    else:
        good, form = len(shape) == 2, "[rows, tokens]"
    if not good:
        raise InvalidArgument(name, f"its shape is {form}, not {list(shape[:8])}")
    if min(shape) < 1:
        raise InvalidArgument(name, f"its shape {list(shape)} has no elements", reason="BATCH_EMPTY")
    if shape[0] > max_rows:
        raise InvalidArgument(name, f"{shape[0]} rows, at most {max_rows} are allowed", reason="BATCH_TOO_LARGE")


def from_elements(name: str, datatype: str, shape: Sequence[int], elements: Sequence[Any]) -> Tensor:
    """Makes a tensor of typed contents; InvalidArgument when there are too few or too many for the shape."""
    if len(elements) != math.prod(shape):
        raise InvalidArgument(name, f"{len(elements)} elements do not fill the shape {list(shape)}")
    values = np.empty(len(elements), dtype=_DTYPES.get(datatype, np.dtype(object)))
    values[:] = elements
    return Tensor(name, datatype, values.reshape(shape))


def from_raw(name: str, datatype: str, shape: Sequence[int], data: bytes) -> Tensor:
    """Makes a tensor of raw contents; InvalidArgument when they do not fill the shape exactly.

    Numbers lie end to end; each element of BYTES follows its length, an unsigned number of 4 bytes.
    """
    if datatype == BYTES:
        return from_elements(name, datatype, shape, _split(name, data, math.prod(shape)))
    dtype = _DTYPES[datatype]
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise InvalidArgument(name, f"{len(data)} bytes do not fill the shape {list(shape)} of {datatype}")
    return Tensor(name, datatype, np.frombuffer(data, dtype=dtype).reshape(shape))


def to_raw(tensor: Tensor) -> bytes:
    """The inverse of `from_raw`."""
    if tensor.datatype == BYTES:
        return b"".join(_LENGTH.pack(len(element)) + element for element in tensor.values.reshape(-1))
    return tensor.values.astype(_DTYPES[tensor.datatype], copy=False).tobytes()


def of_bytes(name: str, elements: Sequence[bytes], shape: Sequence[int]) -> Tensor:
    """Makes a tensor of BYTES."""
    return from_elements(name, BYTES, shape, elements)


def _split(name: str, data: bytes, count: int) -> list[bytes]:
    found: list[bytes] = []
    at = 0
    while at < len(data):
        start = at + _LENGTH.size
        at = start + _LENGTH.unpack_from(data, at)[0] if start <= len(data) else len(data) + 1
        if at > len(data) or len(found) == count:
            raise InvalidArgument(name, f"its raw contents are not {count} elements, each after its length in 4 bytes")
        found.append(data[start:at])
    return found
