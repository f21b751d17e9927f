import numpy as np
import pytest

from support.outcomes import some_rows
from symbiont.common.errors import InvalidArgument
from symbiont.evaluation.making.retrieval import cosines, retrieved


def test_places_of_what_is_relevant() -> None:
    candidates = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.5, 0.5]])
    outcome = retrieved(some_rows(2), [[1, 0], [0, 2]], candidates, [[1, 2], [2]])
    assert outcome.ranks.of(0).ravel().tolist() == [2, 4]
    assert outcome.ranks.of(1).ravel().tolist() == [1]
    assert outcome.candidates == 4


def test_a_model_that_gives_all_texts_one_vector_finds_nothing() -> None:
    outcome = retrieved(some_rows(1), np.ones((1, 3)), np.ones((9, 3)), [[4]])
    assert outcome.ranks.of(0).ravel().tolist() == [9]


def test_many_queries_are_as_few() -> None:
    random = np.random.default_rng(0)
    queries, candidates = random.normal(size=(600, 8)), random.normal(size=(40, 8))
    relevant = [[int(place)] for place in random.integers(0, 40, 600)]
    found = retrieved(some_rows(600), queries, candidates, relevant)
    for row in (0, 255, 256, 599):
        similar = [cosines(queries[row : row + 1], candidates[i : i + 1])[0] for i in range(40)]
        rank = int((np.array(similar) > similar[relevant[row][0]]).sum()) + 1
        assert found.ranks.of(row).tolist() == [[rank]]


def test_zeros_are_like_nothing() -> None:
    assert cosines([[0, 0]], [[1, 0]]).tolist() == [0]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="one entry per row"):
        retrieved(some_rows(1), np.ones((1, 2)), np.ones((3, 2)), [])
