"""Finds texts by their digests in large tables, without an object for each of them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from symbiont.inference.catalogues.types import Digests

# Of a digest: enough to tell nearly all apart; the rest is compared where these agree.
_KEY_BYTES = 8


class KnownTexts:
    """Digests of the texts of one matrix of vectors, [n, 32]."""

    def __init__(self, digests: Digests) -> None:
        keys = _keys(digests)
        self._digests = digests
        self._order: NDArray[np.int64] = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    def rows(self, wanted: Digests) -> NDArray[np.int64]:
        """Returns the row of each of some digests [m, 32], -1 for one that is not there."""
        found = np.full(len(wanted), -1, np.int64)
        if not len(self._keys):
            return found
        places = np.searchsorted(self._keys, _keys(wanted))
        # Two texts of one key are as good as never; then the first is looked at, and the other embedded again.
        rows = self._order[np.minimum(places, len(self._keys) - 1)]
        same = (self._digests[rows] == wanted).all(axis=1)
        found[same] = rows[same]
        return found


def matrix_of(digests: Sequence[bytes]) -> Digests:
    """Returns digests as [n, 32]."""
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)


def _keys(digests: Digests) -> NDArray[np.uint64]:
    return np.ascontiguousarray(digests[:, :_KEY_BYTES]).view(np.uint64).ravel()
