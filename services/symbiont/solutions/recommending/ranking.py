"""Items ordered for users: by popularity, by ALS, and by texts with popularity as a weight."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from symbiont.evaluation import Retrieved, ragged, rows_of
from symbiont.solutions.recommending.pairs import Histories

# [users, items], more is better.
Scores = npt.NDArray[np.float64]
ALS_SEED, ALS_FACTORS, ALS_ITERATIONS = 0, 64, 20


def outcome_of(histories: Histories, scores: Scores) -> Retrieved:
    """Returns where what users liked later stands among all items that they had not rated.

    Args:
        scores: [users, items] in the order of the users that are judged, sorted, and of `histories.items`.
    """
    items = histories.items
    places = {item: place for place, item in enumerate(items)}
    users = sorted(histories.after)
    ranks = []
    for user, line in zip(users, scores, strict=True):
        known = [places[item] for item in histories.seen[user]]
        line = line.copy()
        line[known] = -np.inf
        liked = [places[item] for item in histories.after[user]]
        # Of equal scores, what is relevant comes last among the others: who scores all alike finds nothing.
        others = np.delete(line, liked)
        best = np.sort(line[liked])[::-1]
        ranks.append([[int((others >= score).sum()) + place + 1] for place, score in enumerate(best)])
    return Retrieved(rows_of(users), ragged(ranks, 1), len(items))


def popularity(histories: Histories) -> Scores:
    """Returns how often each item was liked before; of equal counts, the order of the ids decides."""
    return np.tile(_counts(histories), (len(histories.after), 1))


def als(histories: Histories) -> Scores:
    """Returns scores of alternating least squares on what was liked (Hu, Koren and Volinsky 2008, ICDM)."""
    from implicit.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

    items, everybody = histories.items, sorted(histories.before)
    places = {item: place for place, item in enumerate(items)}
    cells = [(row, places[item]) for row, user in enumerate(everybody) for item in histories.before[user]]
    rows, columns = np.array(cells).T
    liked = csr_matrix((np.ones(len(cells), np.float32), (rows, columns)), (len(everybody), len(items)))
    factors = min(ALS_FACTORS, len(items) - 1)
    # Threads of BLAS within those of the package, of which it warns, are slow.
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(factors, iterations=ALS_ITERATIONS, random_state=ALS_SEED, num_threads=1)
        model.fit(liked, show_progress=False)
    judged = [everybody.index(user) for user in sorted(histories.after)]
    return np.asarray(model.user_factors[judged] @ model.item_factors.T, np.float64)


def by_texts(histories: Histories, cosines: Scores, weight: float) -> Scores:
    """Returns cosines [users, items] of histories and items, with popularity as a weight."""
    found: Scores = cosines + weight * np.log1p(_counts(histories))
    return found


def cosine(queries: Sequence[npt.NDArray[np.float32]], items: Sequence[npt.NDArray[np.float32]]) -> Scores:
    """Returns the cosines [queries, items] of vectors of length 1."""
    return np.asarray(np.stack(queries) @ np.stack(items).T, np.float64)


def _counts(histories: Histories) -> npt.NDArray[np.float64]:
    items = histories.items
    # A tiny part by place breaks ties between equal counts, which are most of them.
    return np.array([histories.counts[item] for item in items], np.float64) - np.arange(len(items)) * 1e-9
