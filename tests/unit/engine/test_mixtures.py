"""Whatever stands beside a row, in whatever order, and however batches are cut: its answer is its answer alone.

Bundles of every kind of adapter with every task, and some in int8, in batches that chance puts together. A failure says
the seed, the batch and all its rows; `SYMBIONT_PROOF_SEED` chooses another seed, `SYMBIONT_PROOF_BATCHES` how many
batches there are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, product
from typing import Any, get_args

import numpy as np
import pytest

from support import proofs
from support.bundles import MAX_LENGTH, VOCAB_SIZE, Reference, random_bundle, random_rows, tiny_base
from support.sampling import few
from symbiont.bundle import Int8, Task
from symbiont.common.artifacts import ArtifactStore
from symbiont.engine.engine import Engine
from symbiont.engine.openvino_quantize import quantize_base
from symbiont.engine.openvino_runtime import OpenVinoRuntime
from symbiont.engine.packing import PackingLimits
from symbiont.engine.row import Row
from symbiont.engine.runtime import Array, Runtime
from symbiont.engine.torch_runtime import TorchRuntime

from .conftest import FIELDS

TOLERANCE = 1e-4
# A last bit of fp32 may turn one rounding to int8.
INT8_TOLERANCE = 0.05
BATCHES = proofs.size("BATCHES", small=16, whole=1000)
ROWS_OF_A_BUNDLE = proofs.size("ROWS_OF_A_BUNDLE", small=2, whole=12)
LARGEST_BATCH = 48
# The runtime that computes in int8 what allows it.
INT8 = "openvino"
RUNTIMES: dict[str, Callable[..., Runtime]] = {"torch": TorchRuntime, INT8: partial(OpenVinoRuntime, precision="int8")}
PACKINGS = {
    "as it comes": PackingLimits(),
    "few rows": PackingLimits(max_rows=3),
    "few tokens": PackingLimits(max_tokens=100),
    "all at once": PackingLimits(max_waste=1.0, max_tokens=10**6, max_rows=10**6),
}
TARGETS = [("query", "value"), ("query", "key", "value", "dense"), ("dense",), ("attention.output.dense",)]
ADAPTERS: dict[str, dict[str, Any]] = {
    "none": {},
    "lora": {"rank": 16, "targets": TARGETS},
    "rslora": {"rank": 16, "targets": TARGETS, "rslora": True},
    "adalora": {"rank": 8, "targets": TARGETS[:2], "adalora": True},
    "houlsby gelu": {"rank": 12, "targets": [("output.dense",), ("query",)], "houlsby": "gelu"},
    "houlsby relu": {"rank": 12, "targets": [("output.dense",), ("dense",)], "houlsby": "relu"},
    "bitfit": {"bitfit": True},
    "prefix": {"prefix": 16},
}


@dataclass(frozen=True, eq=False)
class Asked:
    """A row, and who asks it."""

    name: str
    row: Row

    def __str__(self) -> str:
        return f"{self.name}, {len(self.row.input_ids)} tokens, second text from {self.row.segment_start}"


@dataclass(frozen=True)
class Mixture:
    """Bundles of all kinds on one base, of which some allow int8, and rows for each of them and for the plain base."""

    store: ArtifactStore
    base: str
    references: dict[str, Reference]
    rows: Sequence[Asked]
    allow_int8: set[str]

    def tolerance(self, asked: Asked, runtime: str) -> float:
        return INT8_TOLERANCE if runtime == INT8 and asked.row.bundle in self.allow_int8 else TOLERANCE


def _shape(random: np.random.Generator, adapter: dict[str, Any], task: Task) -> dict[str, Any]:
    """Returns a bundle's shape, of a rank, width and number of labels that chance chooses."""
    shape: dict[str, Any] = {"rank": 0, **adapter, "task": task, "num_labels": int(random.integers(1, 12))}
    for size in ("rank", "prefix"):
        if shape.get(size):
            shape[size] = int(random.integers(1, shape[size] + 1))
    if targets := shape.pop("targets", None):
        shape["target_modules"] = targets[random.integers(len(targets))]
    if task not in ("entities", "spans"):
        shape["pooling"] = str(random.choice(["cls", "mean"]))
        shape["fields"] = FIELDS if task != "embedding" and random.random() < 0.5 else ()
    return shape


def _row(random: np.random.Generator, name: str, bundle: str, width: int) -> Asked:
    """Returns a row of any length, short ones as often as long ones; half of them are pairs."""
    length = int(random.integers(1, 1 + int(random.choice([8, MAX_LENGTH]))))
    ids = random.integers(0, VOCAB_SIZE, size=length, dtype=np.int32)
    start = int(random.integers(0, length)) if random.random() < 0.5 else 0
    return Asked(name, Row(ids, bundle, start, random.normal(size=width).astype(np.float32)))


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Mixture:
    random = np.random.default_rng(proofs.seed())
    store = ArtifactStore(tmp_path_factory.mktemp("mixture"))
    base = tiny_base(store)
    quantized = quantize_base(store, base, random_rows(60))
    int8 = Int8(quantized_digest=quantized, rows=60, agreement=1.0, metric_change=0.0, allowed=True)
    kinds = [(*kind, None) for kind in product(ADAPTERS, get_args(Task))]
    references, names, allow_int8 = {}, {"": "the base"}, set()
    for number, (adapter, task, allowed) in enumerate([*kinds, *((name, "classification", int8) for name in ADAPTERS)]):
        shape = _shape(random, ADAPTERS[adapter], task)
        digest, reference = random_bundle(store, base, seed=number, int8=allowed, **shape)
        references[digest], names[digest] = reference, f"{adapter} for {task}{' in int8' if allowed else ''}"
        if allowed:
            allow_int8.add(digest)
    rows = [
        _row(random, name, bundle, references[bundle].features if bundle else 0)
        for bundle, name in names.items()
        for _ in range(ROWS_OF_A_BUNDLE)
    ]
    return Mixture(store, base, references, rows, allow_int8)


def _alone(mixture: Mixture, engine: Engine, runtime: str) -> list[Array]:
    """Returns what each row is answered alone: what transformers and PEFT answer, but for those in int8."""
    answers, rounded = [], []
    for asked in mixture.rows:
        (answer,) = engine.infer([asked.row])
        assert isinstance(answer, np.ndarray), f"{asked}: {answer}"
        if asked.row.bundle:
            expected = mixture.references[asked.row.bundle].answer(asked.row)
            if mixture.tolerance(asked, runtime) > TOLERANCE:
                rounded.append(_difference(answer, expected))
            else:
                np.testing.assert_allclose(answer, expected, rtol=0, atol=TOLERANCE, err_msg=str(asked))
        answers.append(answer)
    # It is int8 that they are computed in: fp32 is exact.
    assert not rounded or 10 * TOLERANCE < np.median(rounded) < np.inf
    return answers


@pytest.mark.proof
@pytest.mark.parametrize("runtime", few(RUNTIMES, INT8))
def test_a_row_is_answered_as_it_is_alone(mixture: Mixture, runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Two threads are two lanes of openvino: a batch is then cut for both.
    engine = Engine(RUNTIMES[runtime](mixture.store, mixture.base, threads=2), mixture.store)
    alone = _alone(mixture, engine, runtime)
    seen: dict[float, list[float]] = {TOLERANCE: [], INT8_TOLERANCE: []}
    for number in range(BATCHES):
        random = np.random.default_rng([proofs.seed(), number])
        packing = str(random.choice(list(PACKINGS)))
        # Of the same engine: another one would load all bundles again.
        monkeypatch.setattr(engine, "_limits", PACKINGS[packing])
        batch = random.integers(0, len(mixture.rows), size=random.integers(1, LARGEST_BATCH + 1))
        cuts = np.unique([0, *random.integers(0, len(batch) + 1, size=random.integers(0, 4)), len(batch)])
        for start, end in pairwise(cuts):
            asked = [mixture.rows[index] for index in batch[start:end]]
            answers = engine.infer([each.row for each in asked])
            differences = [_difference(answer, alone[i]) for answer, i in zip(answers, batch[start:end], strict=True)]
            for each, difference in zip(asked, differences, strict=True):
                tolerance = mixture.tolerance(each, runtime)
                seen[tolerance].append(difference)
                # Written so that NaN fails too.
                if not difference <= tolerance:
                    pytest.fail(_told(number, packing, asked, differences))
    exact, rounded = seen.values()
    # Roundings that turn are few.
    assert np.quantile([0.0, *rounded], 0.9) <= TOLERANCE
    print(
        f"{runtime}: {len(exact)} rows in fp32 and {len(rounded)} in int8 of {len(mixture.references)} bundles, in "
        f"{BATCHES} batches from seed {proofs.seed()}: none differs from its answer alone by more than "
        f"{max(exact):.1e}, in int8 {max(rounded, default=0):.1e}"
    )


def _difference(answer: object, alone: Array) -> float:
    """Returns the greatest difference; infinity where there is no answer of that shape."""
    if not isinstance(answer, np.ndarray) or answer.shape != alone.shape:
        return float("inf")
    return float(np.abs(answer - alone).max())


def _told(number: int, packing: str, rows: Sequence[Asked], differences: Sequence[float]) -> str:
    listed = "\n".join(f"  {difference:8.1e}  {row}" for row, difference in zip(rows, differences, strict=True))
    return f"seed {proofs.seed()}, batch {number}, packed {packing!r}; how far each row is from itself alone:\n{listed}"
