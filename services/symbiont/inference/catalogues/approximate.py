"""Approximate search by faiss, for catalogues that are too large to compare with every entry.

An inverted file (Sivic and Zisserman 2003; Jegou et al. 2011): entries lie in neighbourhoods around centres found by
k-means, and a query visits the nearest of them. In there each number of a vector is one byte; of the best so found,
cosines are made from the vectors themselves. It was taken over graphs (HNSW), because a new version of a large
catalogue then costs little more than its changed entries: centres stay, and so do the places of other entries.
"""

import importlib
import os
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbiont.common.errors import FailedPrecondition, IntegrityError
from symbiont.common.threads import QUIET
from symbiont.inference.catalogues.exact import Found, best, nearest
from symbiont.inference.catalogues.types import IndexFacts, Vectors

# What is aimed for, above what is promised: queries are less like entries than entries are.
RECALL, NEIGHBOURS = 0.97, 10
_TRAINED, _SAMPLE, _BLOCK = 32, 128, 1 << 16
# Candidates for a match: bytes in place of floats put some in the wrong order.
_CANDIDATES, _LEAST_CANDIDATES = 4, 64
_SEED = 0

Places = NDArray[np.int64]


@cache
def _faiss() -> Any:
    # Before its runtime is loaded, which reads them then.
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        return importlib.import_module("faiss")
    except ImportError as exc:
        problem = "a catalogue of this size needs faiss, which is not installed: pip install 'symbiont[ann]'"
        raise FailedPrecondition(problem, reason="ANN_MISSING") from exc


def check_installed() -> None:
    """Raises FailedPrecondition when the library is not there."""
    _faiss()


@dataclass(frozen=True, eq=False)
class Index:
    """An index over the rows of a matrix; `inner` is faiss's own."""

    inner: Any
    facts: IndexFacts

    def search(self, vectors: Vectors, queries: Vectors, most: int, least: float) -> list[Found]:
        """As exact.nearest, of the neighbourhoods that are visited."""
        wanted = min(len(vectors), max(_CANDIDATES * most, _LEAST_CANDIDATES))
        found = self._candidates(queries, wanted)
        return [best(vectors, query, rows[rows >= 0], most, least) for query, rows in zip(queries, found, strict=True)]

    def to_bytes(self) -> NDArray[np.uint8]:
        """Returns what `load` reads."""
        packed: NDArray[np.uint8] = _faiss().serialize_index(self.inner)
        return packed

    def places(self) -> Places:
        """Returns the neighbourhood of each row, [n]."""
        faiss, lists = _faiss(), self.inner.invlists
        found = np.full(self.inner.ntotal, -1, np.int64)
        for number in range(self.inner.nlist):
            if size := lists.list_size(number):
                rows = faiss.rev_swig_ptr(lists.get_ids(number), size)
                found[rows] = number
        return found

    def _candidates(self, queries: Vectors, wanted: int) -> Places:
        faiss = _faiss()
        # Calls run beside each other; threads within one would only wait for each other.
        faiss.omp_set_num_threads(1)
        parameters = faiss.SearchParametersIVF(nprobe=self.facts.probes)
        rows: Places = self.inner.search(np.ascontiguousarray(queries), wanted, params=parameters)[1]
        return rows


def load(packed: NDArray[np.uint8], facts: IndexFacts, rows: int, dimensions: int) -> Index:
    """Reads an index.

    Raises:
        IntegrityError: it is none, or not one over so many rows of so many numbers.
    """
    faiss = _faiss()
    try:
        inner = faiss.deserialize_index(packed)
    except RuntimeError as exc:
        raise IntegrityError("the index cannot be read") from exc
    if (inner.ntotal, inner.d, getattr(inner, "nlist", 0)) != (rows, dimensions, facts.lists):
        raise IntegrityError("the index is of another catalogue")
    return Index(inner, facts)


def build(vectors: Vectors) -> Index:
    """Makes an index of vectors [n, d]: finds centres, files the vectors, and sees how many places to visit."""
    faiss, rows, dimensions = _faiss(), *vectors.shape
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    lists = max(1, int(2 * rows**0.5))
    quantizer = faiss.IndexFlatIP(dimensions)
    inner = faiss.IndexIVFScalarQuantizer(
        quantizer, dimensions, lists, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    )
    inner.cp.seed, inner.cp.min_points_per_centroid, inner.cp.max_points_per_centroid = _SEED, 1, _TRAINED
    chosen = np.sort(np.random.default_rng(_SEED).permutation(rows)[: lists * _TRAINED])
    inner.train(np.ascontiguousarray(vectors[chosen]))
    return _filled(inner, vectors, np.full(rows, -1, np.int64), IndexFacts(lists, 1, rows, 0.0))


def rebuild(previous: Index, vectors: Vectors, origins: Places) -> Index | None:
    """Makes an index with the centres of another.

    Args:
        origins: [n], of each vector the row that the very same vector had there; -1 for a new one.

    Returns:
        None when the catalogue has changed so much that the centres no longer serve.
    """
    trained_on = previous.facts.trained_on
    if not trained_on / 2 <= len(vectors) <= trained_on * 2:
        return None
    places = np.where(origins >= 0, previous.places()[origins], -1)
    inner = _faiss().clone_index(previous.inner)
    inner.reset()
    made = _filled(inner, vectors, places, previous.facts)
    # Half of the places to visit: then new centres pay.
    return made if made.facts.probes <= previous.facts.lists // 2 else None


def _filled(inner: Any, vectors: Vectors, places: Places, facts: IndexFacts) -> Index:
    faiss = _faiss()
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    for start in range(0, len(vectors), _BLOCK):
        block = np.ascontiguousarray(vectors[start : start + _BLOCK])
        place = places[start : start + _BLOCK].copy()
        if (fresh := np.flatnonzero(place < 0)).size:
            place[fresh] = inner.quantizer.assign(block[fresh], 1).ravel()
        rows = np.arange(start, start + len(block), dtype=np.int64)
        inner.add_core(len(block), faiss.swig_ptr(block), faiss.swig_ptr(rows), faiss.swig_ptr(place))
    return _tuned(inner, vectors, facts)


def _tuned(inner: Any, vectors: Vectors, facts: IndexFacts) -> Index:
    """Visits as few places as give the recall; entries stand for queries, and do not count as found themselves."""
    chosen = np.sort(np.random.default_rng(_SEED).permutation(len(vectors))[:_SAMPLE])
    queries = np.ascontiguousarray(vectors[chosen])
    truth = _neighbours(nearest(vectors, queries, NEIGHBOURS + 1, -np.inf), chosen)
    probes = 1
    while True:
        index = Index(inner, replace(facts, probes=min(probes, facts.lists)))
        found = _neighbours(index.search(vectors, queries, NEIGHBOURS + 1, -np.inf), chosen)
        recall = sum(len(a & b) for a, b in zip(truth, found, strict=True)) / max(1, sum(map(len, truth)))
        if recall >= RECALL or probes >= facts.lists:
            return Index(inner, replace(index.facts, recall=recall))
        probes *= 2


def _neighbours(found: list[Found], own: Places) -> list[set[int]]:
    pairs = zip(found, own.tolist(), strict=True)
    return [set([row for row in rows.tolist() if row != self][:NEIGHBOURS]) for (rows, _), self in pairs]
