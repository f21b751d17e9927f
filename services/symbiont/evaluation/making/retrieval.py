"""Where what is relevant stands among all texts that a query may find."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from symbiont.common.errors import InvalidArgument
from symbiont.evaluation.arrays import Floats
from symbiont.evaluation.outcomes import Retrieved, ragged
from symbiont.evaluation.rows import Rows

_QUERIES_AT_A_TIME = 256


def retrieved(
    rows: Rows, queries: npt.ArrayLike, candidates: npt.ArrayLike, relevant: Sequence[Sequence[int]]
) -> Retrieved:
    """Returns the outcome of a search by cosine.

    Of equal similarities what is relevant comes last: a model that gives all texts one vector finds nothing.

    Args:
        rows: the queries.
        queries: vectors [rows, size].
        candidates: vectors [candidates, size].
        relevant: for each query the places among the candidates of what is right, at least one.

    Raises:
        InvalidArgument: the shapes do not fit, or a query has nothing that is relevant.
    """
    asked, known = _unit(queries), _unit(candidates)
    if len(asked) != len(rows) or len(relevant) != len(rows):
        raise InvalidArgument("queries", "and relevant need one entry per row")
    ranks: list[list[list[int]]] = []
    for start in range(0, len(asked), _QUERIES_AT_A_TIME):
        similar = asked[start : start + _QUERIES_AT_A_TIME] @ known.T
        ranks += [_ranks(line, relevant[start + index]) for index, line in enumerate(similar)]
    return Retrieved(rows, ragged(ranks, 1), len(known))


def cosines(one: npt.ArrayLike, other: npt.ArrayLike) -> Floats:
    """Returns the similarity of the vectors in the same row, [rows]."""
    similar: Floats = (_unit(one) * _unit(other)).sum(axis=1)
    return similar


def _ranks(similar: Floats, relevant: Sequence[int]) -> list[list[int]]:
    chosen = np.unique(np.asarray(relevant, np.int64))
    own = np.sort(similar[chosen])[::-1]
    rest = np.sort(np.delete(similar, chosen))
    better = len(rest) - np.searchsorted(rest, own, side="left")
    return [[int(count) + place] for place, count in enumerate(better, 1)]


def _unit(vectors: npt.ArrayLike) -> Floats:
    values = np.asarray(vectors, np.float64)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    unit: Floats = values / np.maximum(length, np.finfo(np.float64).tiny)
    return unit
