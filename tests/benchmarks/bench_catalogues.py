"""What a search in a catalogue costs, against the same search by plain numpy or faiss, interleaved.

`python tests/benchmarks/bench_catalogues.py` prints a table, says for each bar *held* or *missed*, and exits 1 when one
is missed. `--small` does the same in seconds, for checking that the benchmark itself still runs. Only the search is
measured: a query's embedding is a prediction, which bench_path.py measures. All of it runs on one thread, as in the
service, its peers too.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))
from symbiont.common.threads import QUIET

os.environ.update({**QUIET, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"})

import faiss
import numpy as np
from rich.console import Console
from rich.table import Table
from safetensors.numpy import save

from symbiont.common.artifacts import ArtifactStore
from symbiont.inference.catalogues.change import Change, SizeLimits, commit
from symbiont.inference.catalogues.exact import nearest
from symbiont.inference.catalogues.shelf import Loaded, load, size_of
from symbiont.inference.catalogues.types import CatalogueVersion, Pin, Vectors
from symbiont.inference.catalogues.versions import DIGESTS, IDS, VECTORS, Versions
from symbiont.inference.types import ModelVersion

# Those of MiniLM.
DIMENSIONS = 384
MOST = 10
EXACT_UP_TO = 100_000
PIN = Pin("bench", ModelVersion("", 0, "d" * 64, "a" * 64, "c" * 64), DIMENSIONS)
SALT = b"s" * 32
Search = Callable[[Vectors], object]


@dataclass(frozen=True)
class Bar:
    """A promise: `value` of a size, at least or at most `limit`."""

    name: str
    size: int
    value: str
    limit: float
    at_least: bool


BARS = (
    Bar("10,000 entries, one query: p50 / plain numpy", 10_000, "p50", 1.5, False),
    Bar("100,000 entries, one query: p50 / plain numpy", 100_000, "p50", 1.2, False),
    Bar("100,000 entries, 32 queries a call: throughput / plain numpy", 100_000, "throughput", 0.8, True),
    Bar("1,000,000 entries, one query: p50 / faiss alone, at equal places", 1_000_000, "p50", 1.5, False),
    Bar("1,000,000 entries: recall of the nearest 10", 1_000_000, "recall", 0.95, True),
    Bar("1,000,000 entries, one query: p50 / plain numpy over all", 1_000_000, "p50-exact", 0.2, False),
)


def real_like(count: int, seed: int) -> Vectors:
    """Vectors as encoders give them: in clusters, of fewer directions than numbers, around a common mean."""
    common, own = np.random.default_rng(0), np.random.default_rng(seed)
    directions, clusters = 96, 2000
    basis = (common.standard_normal((directions, DIMENSIONS)) * (0.97 ** np.arange(directions))[:, None]).astype("f4")
    centres = 0.8 * common.standard_normal((clusters, directions)).astype("f4")
    mean = 1.5 * common.standard_normal(DIMENSIONS).astype("f4")
    made = np.empty((count, DIMENSIONS), np.float32)
    for start in range(0, count, 50_000):
        size = min(50_000, count - start)
        points = centres[own.integers(0, clusters, size)] + 0.7 * own.standard_normal((size, directions), np.float32)
        block = points @ basis + mean + 0.25 * own.standard_normal((size, DIMENSIONS), np.float32)
        made[start : start + size] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return made


def store(root: Path, vectors: Vectors, limits: SizeLimits) -> tuple[Versions, CatalogueVersion, float]:
    """Commits vectors as an import does; returns how many seconds that took."""
    versions = Versions(ArtifactStore(root), kept=2)
    empty = CatalogueVersion("bench", 1, "", PIN, 0, SALT, 0.0)
    nothing = np.empty((0, DIMENSIONS), np.float32)
    files = {
        IDS: b"[]",
        DIGESTS: save({"digests": np.empty((0, 32), np.uint8)}),
        VECTORS: save({"vectors": nothing}),
    }
    versions.commit(files, empty)
    change = Change(PIN, SALT, matrices=[vectors])
    for row in range(len(vectors)):
        change.add(f"e{row}", row.to_bytes(32, "little"), 0, row)
    started = time.perf_counter()
    version, _ = commit(versions, "bench", change, limits)
    return versions, version, time.perf_counter() - started


def update_seconds(versions: Versions, limits: SizeLimits) -> float:
    """Returns how long a version takes that changes a hundred entries."""
    fresh = real_like(100, 7)
    change = Change(PIN, SALT, matrices=[fresh])
    for row in range(len(fresh)):
        change.add(f"e{row * 3}", (row + (1 << 40)).to_bytes(32, "little"), 0, row)
    started = time.perf_counter()
    commit(versions, "bench", change, limits)
    return time.perf_counter() - started


def plain(vectors: Vectors) -> Search:
    """The few lines that one would write."""

    def search(queries: Vectors) -> object:
        scores = queries @ vectors.T
        best = np.argpartition(scores, -MOST, axis=1)[:, -MOST:]
        found = np.take_along_axis(scores, best, axis=1)
        return np.take_along_axis(best, np.argsort(-found, axis=1), axis=1)

    return search


def by_faiss(loaded: Loaded) -> Search:
    """The library's own search in the same index, without looking at the vectors themselves after."""
    assert loaded.index
    inner, parameters = loaded.index.inner, faiss.SearchParametersIVF(nprobe=loaded.index.facts.probes)

    def search(queries: Vectors) -> object:
        faiss.omp_set_num_threads(1)
        return inner.search(queries, MOST, params=parameters)

    return search


def timed(search: Search, batches: Sequence[Vectors]) -> list[float]:
    """Returns the seconds of each batch."""
    found = []
    for batch in batches:
        started = time.perf_counter()
        search(batch)
        found.append(time.perf_counter() - started)
    return found


def interleaved(ours: Search, theirs: Search, batches: Sequence[Vectors], rounds: int) -> tuple[float, float, float]:
    """Returns the median seconds of both, and the median over the rounds of ours / theirs; one round goes before."""
    a: list[float] = []
    b: list[float] = []
    ratios = []
    for number in range(rounds + 1):
        mine, other = timed(ours, batches), timed(theirs, batches)
        if number:
            a, b = a + mine, b + other
            ratios.append(median(mine) / median(other))
    return median(a), median(b), median(ratios)


def recall(loaded: Loaded, vectors: Vectors, queries: Vectors) -> float:
    """Returns the share of the nearest ten that is found, of queries that are no entries."""
    truth = nearest(vectors, queries, MOST, -np.inf)
    found = loaded.search(queries, MOST, -np.inf)
    hits = sum(len(set(a.tolist()) & set(b.tolist())) for (a, _), (b, _) in zip(truth, found, strict=True))
    return hits / (MOST * len(queries))


def measure(size: int, rounds: int, queries: int, limits: SizeLimits, table: Table) -> dict[str, float]:
    """Measures one size; returns its figures."""
    with tempfile.TemporaryDirectory() as temporary:
        vectors = real_like(size, 1)
        versions, version, seconds = store(Path(temporary), vectors, limits)
        loaded = load(versions, version)

        def search(batch: Vectors) -> object:
            return loaded.search(batch, MOST, -np.inf)

        asked = real_like(queries, 2)
        ones = [asked[row : row + 1] for row in range(len(asked))]
        many = [asked[start : start + 32] for start in range(0, len(asked) - 31, 32)]
        index = version.index
        peer = by_faiss(loaded) if index else plain(loaded.vectors)
        p50, peer_p50, ratio = interleaved(search, peer, ones, rounds)
        call, _, call_ratio = interleaved(search, peer, many, rounds)
        figures = {"p50": ratio, "throughput": 1 / call_ratio}
        if index:
            figures["recall"] = recall(loaded, vectors, asked)
            figures["p50-exact"] = interleaved(search, plain(vectors), ones[:16], 1)[2]
        kind = f"{index.probes} of {index.lists} places" if index else "exact"
        table.add_row(
            f"{size:,}",
            kind,
            f"{1e3 * p50:.2f} ms",
            f"{1e3 * peer_p50:.2f} ms",
            f"{32 / call:,.0f}/s",
            f"{figures.get('recall', 1.0):.3f}",
            f"{seconds:.1f} s",
            f"{update_seconds(versions, limits):.1f} s",
            f"{size_of(version) >> 20} MiB",
        )
        return figures


def main() -> int:
    """Runs the measurements; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--small", action="store_true", help="few entries, one round; bars are printed but do not count"
    )
    small = parser.parse_args().small
    limits = SizeLimits(10_000_000, 4000 if small else EXACT_UP_TO)
    # In small each size is a hundredth, but the largest stays beyond the limit of exact search.
    sizes = {bar.size: max(bar.size // 100, 500) if small else bar.size for bar in BARS}
    table = Table(
        "entries", "search", "p50", "peer's p50", "32 a call", "recall", "import", "change", "held", title="catalogues"
    )
    found = {
        size: measure(real, 1 if small else 5, 64 if small else 256, limits, table) for size, real in sizes.items()
    }
    console = Console(width=130)
    console.print(table)
    held = True
    for bar in BARS:
        value = found[bar.size][bar.value]
        ok = value >= bar.limit if bar.at_least else value <= bar.limit
        held &= ok
        wanted = f"{'at least' if bar.at_least else 'at most'} {bar.limit}"
        console.print(f"{'held' if ok else 'missed'}: {bar.name}: {value:.2f} ({wanted})")
    console.print(f"most memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB")
    return 0 if held or small else 1


if __name__ == "__main__":
    sys.exit(main())
