"""Exact search: every entry is compared, block by block, so that memory is bounded whatever the catalogue's size."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from symbiont.inference.catalogues.types import Vectors

Rows = NDArray[np.int64]
Scores = NDArray[np.float64]
# Rows with their cosines, best first.
Found = tuple[Rows, Scores]

# Queries that are looked up at a time, and scores of fp32 in a block: 16 MiB.
_QUERIES, _SCORES = 64, 4 << 20
# Entries of which cosines are made in fp64 at a time.
_EXACT_ROWS = 4096
# What a sum in fp32 may be off by, for vectors of length 1.
_MARGIN = 2e-5


def nearest(vectors: Vectors, queries: Vectors, most: int, least: float) -> list[Found]:
    """Returns for each query the entries whose cosine is highest.

    Blocks are compared in fp32; of what may be among the best, cosines are made in fp64, each by itself: neither order
    nor score of a match depends on what stands beside it. Of equal ones, the lower row comes first.

    Args:
        vectors: [n, d], of length 1.
        queries: [q, d], of length 1.
        most: matches of a query, at least 1.
        least: cosine from which a match is given.
    """
    parts = [queries[start : start + _QUERIES] for start in range(0, len(queries), _QUERIES)]
    return [found for part in parts for found in _nearest(vectors, part, most, least)]


def _nearest(vectors: Vectors, queries: Vectors, most: int, least: float) -> list[Found]:
    floors = np.full(len(queries), -np.inf, np.float32)
    kept: list[tuple[Rows, Rows, Vectors]] = []
    size = _SCORES // max(1, len(queries))
    for start in range(0, len(vectors), size):
        scores = queries @ vectors[start : start + size].T
        if scores.shape[1] >= most:
            # The one that is `most` from the top of a block is no higher than that of all.
            place = scores.shape[1] - most
            floors = np.maximum(floors, np.partition(scores, place, axis=1)[:, place])
        of, rows = np.nonzero(scores >= floors[:, None] - _MARGIN)
        kept.append((of, rows + start, scores[of, rows]))
    if not kept:
        return [(np.empty(0, np.int64), np.empty(0))] * len(queries)
    of, rows, rough = (np.concatenate(arrays) for arrays in zip(*kept, strict=True))
    good = rough >= floors[of] - _MARGIN
    of, rows = of[good], rows[good]
    return [best(vectors, query, rows[of == number], most, least) for number, query in enumerate(queries)]


def best(vectors: Vectors, query: Vectors, rows: Rows, most: int, least: float) -> Found:
    """Returns the best of some rows, by their cosines in fp64."""
    scores = cosines(vectors, query, rows)
    order = np.lexsort((rows, -scores))[:most]
    order = order[scores[order] >= least]
    return rows[order], scores[order]


def cosines(vectors: Vectors, query: Vectors, rows: Rows) -> Scores:
    """Returns the cosine of a query [d] with each of some rows, -1 to 1."""
    exact = query.astype(np.float64)
    parts = [rows[start : start + _EXACT_ROWS] for start in range(0, len(rows), _EXACT_ROWS)]
    # Not a matrix product, whose sums may depend on the place of a row in it.
    sums: Sequence[Scores] = [(vectors[part].astype(np.float64) * exact).sum(axis=1) for part in parts]
    clipped: Scores = np.clip(np.concatenate([*sums, np.empty(0)]), -1, 1)
    return clipped
