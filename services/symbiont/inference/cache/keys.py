"""Names of what is kept: SHA-256 over everything that shapes it, written so that no two things are written alike."""

import hashlib
from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from symbiont.engine.row import Row

# Changes when what is kept under a key changes its meaning.
_FORMAT = b"symbiont-cache-1"


def frame(parts: Sequence[bytes]) -> bytes:
    """Returns parts as one string: how many they are, then each after its length, as 8 bytes each.

    Where one frame ends is written in it, so that different parts never give the same string, nor do different
    sequences of frames.
    """
    lengths = [len(part).to_bytes(8, "little") for part in parts]
    pieces = [piece for pair in zip(lengths, parts, strict=True) for piece in pair]
    return b"".join([len(parts).to_bytes(8, "little"), *pieces])


def array_parts(array: npt.NDArray[np.generic]) -> tuple[bytes, bytes]:
    """Returns what an array is, its type and shape, and its bytes."""
    return f"{array.dtype.str}{array.shape}".encode(), array.tobytes()


class Scope:
    """What all keys of one kind and one owner have in common.

    Args:
        kind: of what is kept, for example `rows`.
        tenant: for whom; nobody gets what was computed for another.
        by: what computes it, by digests.
    """

    def __init__(self, kind: str, tenant: str, *by: str) -> None:
        self._hash = hashlib.sha256(frame([_FORMAT, *(name.encode() for name in (kind, tenant, *by))]))

    def key(self, *parts: bytes) -> bytes:
        """Returns the key of one thing within the scope, 32 bytes."""
        whole = self._hash.copy()
        whole.update(frame(parts))
        return whole.digest()

    @classmethod
    def of_rows(cls, tenant: str, base: str, bundle: str) -> Self:
        """Rows of one bundle, whose digest pins its adapter, head, tokenizer, task and the rest of its manifest."""
        return cls("rows", tenant, base, bundle)

    def row_key(self, row: Row) -> bytes:
        """Returns the key of a row: all that the host computes with, and not who waits for it until when."""
        start = row.segment_start.to_bytes(8, "little")
        return self.key(start, *array_parts(row.input_ids), *array_parts(row.features))

    @classmethod
    def of_texts(cls, tenant: str, tokenizer: str, max_tokens: int) -> Self:
        """Tokens of texts, cut at `max_tokens`."""
        return cls("texts", tenant, tokenizer, str(max_tokens))
