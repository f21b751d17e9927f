"""Exact search is brute force, whatever the blocks and the neighbours of a row are."""

import numpy as np
import pytest

from symbiont.inference.catalogues import exact
from symbiont.inference.catalogues.exact import nearest

from .conftest import real_like


def brute(vectors: np.ndarray, query: np.ndarray, most: int, least: float = -np.inf) -> list[tuple[int, float]]:
    """The plainest way: every cosine, sorted by it and then by row."""
    scores = [min(1.0, float(np.sum(row.astype(np.float64) * query.astype(np.float64)))) for row in vectors]
    found = sorted(range(len(scores)), key=lambda row: (-scores[row], row))[:most]
    return [(row, scores[row]) for row in found if scores[row] >= least]


def same(found: exact.Found, expected: list[tuple[int, float]]) -> None:
    rows, scores = found
    assert rows.tolist() == [row for row, _ in expected]
    np.testing.assert_allclose(scores, [score for _, score in expected], rtol=0, atol=1e-9)


@pytest.mark.parametrize("block", [7, 64, 1 << 22])
@pytest.mark.parametrize("most", [1, 5, 400])
def test_it_equals_brute_force(monkeypatch: pytest.MonkeyPatch, block: int, most: int) -> None:
    monkeypatch.setattr(exact, "_SCORES", block * 9)
    monkeypatch.setattr(exact, "_QUERIES", 9)
    vectors, queries = real_like(300, 16, 1), real_like(20, 16, 2)
    for query, found in zip(queries, nearest(vectors, queries, most, -np.inf), strict=True):
        same(found, brute(vectors, query, most))


@pytest.mark.parametrize("block", [3, 64, 1 << 22])
def test_of_equal_scores_the_lower_row_comes_first(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(exact, "_SCORES", block)
    few = real_like(5, 16, 3)
    vectors = few[np.random.default_rng(0).integers(0, 5, 200)]
    for query in few:
        (found,) = nearest(vectors, query[None], 60, -np.inf)
        same(found, brute(vectors, query, 60))


def test_a_query_is_answered_as_alone() -> None:
    vectors, queries = real_like(1000, 32, 4), real_like(130, 32, 5)
    together = nearest(vectors, queries, 10, -np.inf)
    for number in (0, 63, 64, 129):
        (alone,) = nearest(vectors, queries[number : number + 1], 10, -np.inf)
        assert together[number][0].tolist() == alone[0].tolist()
        assert together[number][1].tolist() == alone[1].tolist()


def test_a_threshold_leaves_out_what_is_below() -> None:
    vectors, (query,) = real_like(200, 16, 6), real_like(1, 16, 7)
    least = brute(vectors, query, 5)[4][1]
    (found,) = nearest(vectors, query[None], 100, least)
    same(found, brute(vectors, query, 100, least))
    assert len(found[0]) == 5


def test_nothing_is_found_in_nothing() -> None:
    found = nearest(np.empty((0, 4), np.float32), np.ones((2, 4), np.float32) / 2, 10, -np.inf)
    assert [(rows.tolist(), scores.tolist()) for rows, scores in found] == [([], [])] * 2
