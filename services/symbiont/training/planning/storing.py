"""How long a worker takes to store what it makes: checkpoints, the bundle, its check in int8, the graph of the base.

All of it is done for real, into a store that is thrown away. What is there already of the base, its quantised form and
its graph, is lent to that store, so that only what the worker would make is made.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from symbiont.bundle import Bundle, write_bundle
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import SymbiontError
from symbiont.training.heads import Material
from symbiont.training.quantization.gate import MOST_ROWS
from symbiont.training.types import Report
from symbiont.training.worker.checkpoint import KIND as CHECKPOINTS
from symbiont.training.worker.network import Network
from symbiont.training.worker.storing import BASES, leave_graph, store_base, with_int8

BUNDLES, GRAPHS = "bundles", "graphs"
# Rows of the shorter and the longer check of a quantised form: their difference is what rows cost.
FEW, MORE = 16, 64


class Storing:
    """Stores things, and says how long that took, in seconds."""

    def __init__(self, real: ArtifactStore, scratch: ArtifactStore) -> None:
        self._real = real
        self._scratch = scratch
        # What travels to another machine is to travel when it is timed, too.
        self._writes = real.beside(f"{real.root}/plans") if real.remote else scratch

    def checkpoint(self, save: Callable[[ArtifactStore], str]) -> float:
        """Returns the time of a checkpoint: the mean of two, since a disk takes one time this long, one time that."""
        return sum(self._put(CHECKPOINTS, save) for _ in range(2)) / 2

    def bundle(self, make: Callable[[], Bundle]) -> tuple[float, Bundle]:
        """Returns the time of making and storing a bundle, and the bundle."""
        started = time.monotonic()
        bundle = make()
        made = time.monotonic() - started
        return made + self._put(
            BUNDLES, lambda s: write_bundle(s, bundle.manifest, bundle.adapter, bundle.head, bundle.own_module)
        ), bundle

    def _put(self, kind: str, put: Callable[[ArtifactStore], str]) -> float:
        started = time.monotonic()
        digest = put(self._writes)
        taken = time.monotonic() - started
        self._writes.delete(kind, digest)
        return taken

    def base(self, parent: str, network: Network) -> float:
        """Returns the time of storing a base that was trained."""
        return self._put(BASES, lambda store: store_base(self._real, parent, network, to=store))

    def int8(self, bundle: Bundle, digest: str, held: Material, row_count: int) -> float:
        """Returns the time of checking a bundle against the quantised form of this digest, on so many held-out rows.

        The first of three checks makes the graph where there is none, as the worker's does; of the others, one is
        longer.
        """
        rows = held.examples
        first, few = (self._check(bundle, digest, held, FEW) for _ in range(2))
        more = self._check(bundle, digest, held, MORE)
        tokens = [sum(len(row) for row in rows[:count]) for count in (FEW, MORE)]
        per_token = max(more - few, 0.0) / max(tokens[1] - tokens[0], 1)
        all_tokens = min(row_count, MOST_ROWS) * float(np.mean([len(row) for row in rows]))
        return first + per_token * max(all_tokens - tokens[0], 0.0)

    def _check(self, bundle: Bundle, digest: str, held: Material, count: int) -> float:
        part = Material(held.examples[:count], held.targets[:count], held.rows[:count])
        started = time.monotonic()
        with_int8(bundle, self._scratch, digest, part, _unheard)
        return time.monotonic() - started

    def graph(self, base_digest: str) -> float:
        """Returns the time of leaving the base's graph behind."""
        started = time.monotonic()
        leave_graph(self._scratch, base_digest, _unheard)
        return time.monotonic() - started


@contextmanager
def scratch_store(artifacts: ArtifactStore, base_digest: str, quantized_digest: str) -> Iterator[ArtifactStore]:
    """Makes a store on the same disk, with links to what there is of a base, and removes it."""
    with artifacts.scratch(CHECKPOINTS) as folder:
        _lend(artifacts, folder, BASES, base_digest)
        if quantized_digest:
            _lend(artifacts, folder, "quantized", quantized_digest)
        scratch = artifacts.beside(folder)
        for identifier in artifacts.identifiers(GRAPHS):
            # A graph's id begins with the digest of its base; which one fits is for whoever loads it to say.
            if identifier.startswith(base_digest):
                with suppress(SymbiontError):
                    digest = artifacts.resolve(GRAPHS, identifier)
                    _lend(artifacts, folder, GRAPHS, digest)
                    scratch.tag(GRAPHS, identifier, digest)
        yield scratch


def _lend(artifacts: ArtifactStore, folder: Path, kind: str, digest: str) -> None:
    (folder / kind).mkdir(exist_ok=True)
    (folder / kind / digest).symlink_to(artifacts.stored(kind, digest), target_is_directory=True)


def _unheard(_: Report) -> None:
    """Takes what a worker would say."""
