"""Tensors of the protocol, and how their elements lie in typed and in raw contents."""

import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbiont.common.errors import InvalidArgument

BYTES, BOOL, INT32, INT64, FP32, FP64 = DATATYPES = ("BYTES", "BOOL", "INT32", "INT64", "FP32", "FP64")
# Raw contents are little-endian whatever the machine.
_DTYPES: dict[str, np.dtype[Any]] = {
    BOOL: np.dtype(np.bool_),
    INT32: np.dtype("<i4"),
    INT64: np.dtype("<i8"),
    FP32: np.dtype("<f4"),
    FP64: np.dtype("<f8"),
}
_LENGTH = struct.Struct("<I")
_LONGEST_NAME = 100
_OURS = re.compile(r"[A-Z_]{1,20}|FIELD_\w{1,63}", re.ASCII)


@dataclass(frozen=True)
class Tensor:
    """A tensor with its elements; those of BYTES are `bytes` in an array of objects."""

    name: str
    datatype: str
    values: NDArray[Any]


def place(name: str, where: str = "inputs") -> str:
    """Returns how an error names a tensor of any name: plainly only if ours are called so, for logs say plain ones."""
    return name if _OURS.fullmatch(name) else f"{where}[{name[:_LONGEST_NAME]!r}]"


def check_header(name: str, datatype: str, shape: Sequence[int], max_rows: int) -> None:
    """Refuses an input that no model takes, before its elements are looked at."""
    if datatype not in DATATYPES:
        raise InvalidArgument(place(name), f"its datatype {datatype[:20]!r} is none of {', '.join(DATATYPES)}")
    if not 1 <= len(shape) <= 2:
        raise InvalidArgument(place(name), f"its shape {list(shape[:8])} is neither [rows] nor [rows, columns]")
    if min(shape) < 1:
        raise InvalidArgument(place(name), f"its shape {list(shape)} has no elements", reason="BATCH_EMPTY")
    if shape[0] > max_rows:
        raise InvalidArgument(place(name), f"{shape[0]} rows, at most {max_rows} are allowed", reason="BATCH_TOO_LARGE")


def from_elements(name: str, datatype: str, shape: Sequence[int], elements: Sequence[Any]) -> Tensor:
    """Makes a tensor of typed contents; InvalidArgument when there are too few or too many for the shape."""
    if len(elements) != math.prod(shape):
        raise InvalidArgument(place(name), f"{len(elements)} elements do not fill the shape {list(shape)}")
    values = np.empty(len(elements), dtype=_DTYPES.get(datatype, np.dtype(object)))
    values[:] = elements
    return Tensor(name, datatype, values.reshape(shape))


def from_raw(name: str, datatype: str, shape: Sequence[int], data: bytes) -> Tensor:
    """Makes a tensor of raw contents; InvalidArgument when they do not fill the shape exactly.

    Numbers lie end to end, each BOOL is a byte, 0 or 1; each element of BYTES follows its length, an unsigned number of
    4 bytes.
    """
    if datatype == BYTES:
        return from_elements(name, datatype, shape, _split(name, data, math.prod(shape)))
    dtype = _DTYPES[datatype]
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise InvalidArgument(place(name), f"{len(data)} bytes do not fill the shape {list(shape)} of {datatype}")
    if datatype == BOOL and data.translate(None, b"\0\1"):
        raise InvalidArgument(place(name), "its bytes are not all 0 or 1")
    return Tensor(name, datatype, np.frombuffer(data, dtype=dtype).reshape(shape))


def to_raw(tensor: Tensor) -> bytes:
    """The inverse of `from_raw`."""
    if tensor.datatype == BYTES:
        return b"".join(_LENGTH.pack(len(element)) + element for element in tensor.values.reshape(-1))
    return tensor.values.astype(_DTYPES[tensor.datatype], copy=False).tobytes()


def of_bytes(name: str, elements: Sequence[bytes], shape: Sequence[int]) -> Tensor:
    """Makes a tensor of BYTES."""
    return from_elements(name, BYTES, shape, elements)


def of_floats(name: str, values: Any) -> Tensor:
    """Makes a tensor of FP32."""
    return Tensor(name, FP32, np.asarray(values, np.float32))


def _split(name: str, data: bytes, count: int) -> list[bytes]:
    found: list[bytes] = []
    at = 0
    while at < len(data):
        start = at + _LENGTH.size
        at = start + _LENGTH.unpack_from(data, at)[0] if start <= len(data) else len(data) + 1
        if at > len(data) or len(found) == count:
            problem = f"its raw contents are not {count} elements, each after its length in 4 bytes"
            raise InvalidArgument(place(name), problem)
        found.append(data[start:at])
    return found
