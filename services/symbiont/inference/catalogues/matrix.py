"""A matrix of fp32 in a safetensors file, written block by block and read by mapping, so that it may exceed memory.

The format: https://github.com/huggingface/safetensors#format.
"""

import io
import json
import os
from collections.abc import Iterable
from typing import Any, BinaryIO

import numpy as np

from symbiont.common.encryption import Spool
from symbiont.common.errors import IntegrityError
from symbiont.inference.catalogues.types import Vectors

VECTORS = "vectors.safetensors"
_NAME = "vectors"
_LENGTH_BYTES, _ALIGNMENT = 8, 8


def write_matrix(out: Spool, blocks: Iterable[Vectors], rows: int, columns: int) -> None:
    """Writes blocks one below the other; together they are [rows, columns]."""
    size = 4 * rows * columns
    header = json.dumps({_NAME: {"dtype": "F32", "shape": [rows, columns], "data_offsets": [0, size]}}).encode()
    header += b" " * (-len(header) % _ALIGNMENT)
    out.write(len(header).to_bytes(_LENGTH_BYTES, "little") + header)
    for block in blocks:
        out.write(np.ascontiguousarray(block, "<f4").data.cast("B"))
    written = out.size - _LENGTH_BYTES - len(header)
    if written != size:
        raise ValueError(f"the blocks have {written} bytes where {size} are due")


def read_matrix(stream: BinaryIO, rows: int, columns: int) -> Vectors:
    """Maps a matrix, read only, where the stream is a file as it lies on the disk; the mapping outlives it.

    One that is decrypted as it is read is read into memory.

    Raises:
        IntegrityError: the file holds no matrix of that shape.
    """
    wrong = IntegrityError(f"{VECTORS} holds no matrix of {rows} by {columns} numbers")
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
    start = _LENGTH_BYTES + length
    if start > size:
        raise wrong
    try:
        found = json.loads(stream.read(length))[_NAME]
    except (ValueError, KeyError, TypeError) as exc:
        raise wrong from exc
    whole = {"dtype": "F32", "shape": [rows, columns], "data_offsets": [0, 4 * rows * columns]}
    if found != whole or size != start + 4 * rows * columns:
        raise wrong
    if not rows:
        # Nothing cannot be mapped.
        return np.empty((0, columns), np.float32)
    if isinstance(stream, io.BufferedReader) and isinstance(stream.raw, io.FileIO):
        return np.memmap(stream, "<f4", "r", start, (rows, columns))
    matrix = np.empty((rows, columns), "<f4")
    read_into(stream, matrix)
    matrix.flags.writeable = False
    return matrix


def read_into(stream: BinaryIO, array: np.ndarray[Any, Any]) -> None:
    """Fills an array with the next bytes of a stream; IntegrityError where there are fewer."""
    buffered: Any = stream
    if buffered.readinto(array.reshape(-1).view(np.uint8)) != array.nbytes:
        raise IntegrityError(f"{VECTORS} ends too early")
