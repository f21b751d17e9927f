"""A matrix of fp32 in a safetensors file, written block by block and read by mapping, so that it may exceed memory.

The format: https://github.com/huggingface/safetensors#format.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from symbiont.common.errors import IntegrityError
from symbiont.inference.catalogues.types import Vectors

_NAME = "vectors"
_LENGTH_BYTES, _ALIGNMENT = 8, 8


def write_matrix(path: Path, blocks: Iterable[Vectors], rows: int, columns: int) -> None:
    """Writes blocks one below the other; together they are [rows, columns]."""
    size = 4 * rows * columns
    header = json.dumps({_NAME: {"dtype": "F32", "shape": [rows, columns], "data_offsets": [0, size]}}).encode()
    header += b" " * (-len(header) % _ALIGNMENT)
    with path.open("wb") as stream:
        stream.write(len(header).to_bytes(_LENGTH_BYTES, "little") + header)
        for block in blocks:
            stream.write(np.ascontiguousarray(block, "<f4").data)
        written = stream.tell() - _LENGTH_BYTES - len(header)
    if written != size:
        raise ValueError(f"the blocks have {written} bytes where {size} are due")


def map_matrix(path: Path, rows: int, columns: int) -> Vectors:
    """Maps a matrix, read only; the mapping outlives the file.

    Raises:
        IntegrityError: the file holds no matrix of that shape.
    """
    wrong = IntegrityError(f"{path.name} holds no matrix of {rows} by {columns} numbers")
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
        start = _LENGTH_BYTES + length
        size = path.stat().st_size
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
    return np.memmap(path, "<f4", "r", start, (rows, columns))
