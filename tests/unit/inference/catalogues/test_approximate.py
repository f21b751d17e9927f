"""Approximate search finds nearly what exact search finds, also in an index that others' entries have gone through."""

import numpy as np
import pytest

from symbiont.common.errors import IntegrityError
from symbiont.inference.catalogues import approximate
from symbiont.inference.catalogues.approximate import Index, build, load, rebuild
from symbiont.inference.catalogues.exact import nearest
from symbiont.inference.catalogues.types import Vectors

from .conftest import real_like

SIZE, DIMENSIONS = 12_000, 48


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return real_like(SIZE, DIMENSIONS, 1)


@pytest.fixture(scope="module")
def index(vectors: Vectors) -> Index:
    return build(vectors)


def recall(index: Index, vectors: Vectors) -> float:
    """Of queries that are no entries."""
    queries = real_like(200, DIMENSIONS, 9)
    truth = nearest(vectors, queries, 10, -np.inf)
    found = index.search(vectors, queries, 10, -np.inf)
    return sum(len(set(a.tolist()) & set(b.tolist())) for (a, _), (b, _) in zip(truth, found, strict=True)) / 2000


def test_recall(index: Index, vectors: Vectors) -> None:
    assert recall(index, vectors) >= 0.95
    assert index.facts.recall >= 0.95
    # It would be no index if it looked at everything.
    assert index.facts.probes <= index.facts.lists // 2


def test_scores_are_exact_and_in_order(index: Index, vectors: Vectors) -> None:
    queries = vectors[:5]
    for number, (rows, scores) in enumerate(index.search(vectors, queries, 10, 0.3)):
        assert rows[0] == number
        exact = vectors[rows].astype(np.float64) @ queries[number].astype(np.float64)
        np.testing.assert_allclose(scores, exact, rtol=0, atol=1e-7)
        assert scores.tolist() == sorted(scores, reverse=True)
        assert (scores >= 0.3).all()


def test_an_index_that_is_stored_answers_the_same(index: Index, vectors: Vectors) -> None:
    again = load(index.to_bytes(), index.facts, SIZE, DIMENSIONS)
    queries = real_like(20, DIMENSIONS, 10)
    for (rows, scores), (others, same) in zip(
        index.search(vectors, queries, 10, -np.inf), again.search(vectors, queries, 10, -np.inf), strict=True
    ):
        assert (rows.tolist(), scores.tolist()) == (others.tolist(), same.tolist())


def test_a_change_keeps_the_centres_and_the_places(index: Index, vectors: Vectors) -> None:
    fresh = real_like(2000, DIMENSIONS, 11)
    kept = np.sort(np.random.default_rng(3).permutation(SIZE)[: SIZE - 3000])
    changed = np.concatenate([vectors[kept], fresh])
    origins = np.concatenate([kept, np.full(len(fresh), -1)])
    made = rebuild(index, changed, origins)
    assert made
    assert (made.facts.lists, made.facts.trained_on) == (index.facts.lists, SIZE)
    np.testing.assert_array_equal(made.places()[: len(kept)], index.places()[kept])
    assert recall(made, changed) >= 0.95
    # The index that it came from answers as before.
    assert recall(index, vectors) >= 0.95


def test_a_catalogue_that_has_become_another_gets_new_centres(index: Index, vectors: Vectors) -> None:
    assert rebuild(index, vectors[:100], np.arange(100)) is None


def test_few_entries_are_all_found(monkeypatch: pytest.MonkeyPatch) -> None:
    few = real_like(3, DIMENSIONS, 1)
    (found,) = build(few).search(few, few[:1], 10, -np.inf)
    assert sorted(found[0].tolist()) == [0, 1, 2]


def test_what_is_no_index_of_this_catalogue_is_refused(index: Index) -> None:
    with pytest.raises(IntegrityError):
        load(index.to_bytes(), index.facts, SIZE + 1, DIMENSIONS)
    with pytest.raises(IntegrityError):
        load(np.frombuffer(b"no index at all", np.uint8), index.facts, SIZE, DIMENSIONS)


def test_without_faiss_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approximate.importlib, "import_module", _missing)
    approximate._faiss.cache_clear()
    with pytest.raises(approximate.FailedPrecondition, match=r"symbiont\[ann\]"):
        approximate.check_installed()
    approximate._faiss.cache_clear()


def _missing(name: str) -> None:
    raise ImportError(name)
