"""A vector for each text: the pooled hidden states, or a linear layer on them.

What is learnt follows from the labels. Pairs without labels belong together, and every other second text of the part
is what a text does not belong to (arXiv 1807.03748). Of classes, every row is paired with another one of its class, and
rows of that class do not count as others. Pairs with numbers are to have cosines in the order of the numbers (CoSENT).

A part is what one rank computes at once: the rows of a batch, divided by the ranks. Of one row nothing is learnt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr  # type: ignore[import-untyped]
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from symbiont.bundle import BundleManifest
from symbiont.bundle import EmbeddingHead as HeadEntry
from symbiont.evaluation import Compared, Outcome, Rows, cosines, retrieved
from symbiont.training.data.rows import Row
from symbiont.training.heads import Criterion, Encode, Head, Material, register
from symbiont.training.spec import EmbeddingHead
from symbiont.training.types import Evaluation
from symbiont.training.worker.examples import Example

PAIRING_SEED = 0x9A15


@dataclass(frozen=True)
class Contrast:
    """The spec's settings, and what is learnt from: `pairs`, `numbers` or `classes`."""

    size: int
    temperature: float
    learns: str


class Embedding(Head):
    """Contrast between the texts of a part of a step."""

    compares = True

    @override
    def fit(self, settings: EmbeddingHead, rows: Sequence[Row]) -> Contrast:
        label = rows[0].label
        learns = "pairs" if label is None else "classes" if isinstance(label, str) else "numbers"
        return Contrast(settings.size or 0, settings.temperature, learns)

    @override
    def material(self, settings: Contrast, rows: Sequence[Row], encode: Encode, max_tokens: int) -> Material:
        first = [Example(item.ids) for item in encode([row.text for row in rows])]
        if settings.learns == "classes":
            names = {label: i for i, label in enumerate(sorted({str(row.label) for row in rows}))}
            classes = np.array([names[str(row.label)] for row in rows])
            second = [first[other] for other in partners(classes)]
            targets = torch.from_numpy(classes)
        else:
            second = [Example(item.ids) for item in encode([row.pair for row in rows])]
            targets = torch.tensor([float(row.label or 0.0) for row in rows])  # type: ignore[arg-type]
        examples = [Example(one.ids, second=other) for one, other in zip(first, second, strict=True)]
        return Material(examples, targets, rows)

    @override
    def outputs(self, settings: Contrast) -> int:
        return settings.size

    @override
    def criterion(self, settings: Contrast, targets: Tensor) -> Criterion:
        if settings.learns == "numbers":
            return lambda outputs, truth: cosent(*unit(outputs), truth, settings.temperature)
        same = settings.learns == "classes"
        return lambda outputs, truth: contrast(*unit(outputs), truth if same else None, settings.temperature)

    @override
    def evaluate(
        self, settings: Contrast, outputs: Sequence["np.ndarray[Any, Any]"], judged: Material, decided: Any = None
    ) -> Evaluation:
        both = torch.from_numpy(np.stack(outputs))
        first, second = unit(both)
        truth = judged.targets
        if settings.learns == "numbers":
            cosines = (first * second).sum(1).numpy()
            order = spearmanr(truth.numpy(), cosines).statistic if len(truth) > 2 else 0.0
            metrics = {"spearman": float(np.nan_to_num(order))}
        elif settings.learns == "classes":
            near = (first @ first.T).fill_diagonal_(-2.0).argmax(1)
            metrics = {"nearest_accuracy": float((truth[near] == truth).float().mean())}
        else:
            scores = first @ second.T
            # Ties count against it: a model that gives one vector to all finds nothing.
            place = (scores >= scores.diagonal()[:, None]).sum(1).float()
            metrics = {"mrr": float((1 / place).mean()), "recall_at_1": float((place == 1).float().mean())}
        primary = next(iter(sorted(metrics)))
        metrics["loss"] = float(self.criterion(settings, truth)(both, truth))
        return Evaluation(
            row_count=len(judged.rows),
            accuracy=metrics.get("recall_at_1", metrics.get("nearest_accuracy", 0.0)),
            macro_f1=0.0,
            loss=metrics["loss"],
            labels=(),
            confusion_matrix=(),
            metrics=tuple(sorted(metrics.items())),
            primary_metric=primary,
        )

    @override
    def outcome(
        self, settings: Contrast, outputs: Sequence["np.ndarray[Any, Any]"], judged: Material, rows: Rows
    ) -> Outcome:
        first, second = np.split(np.stack(outputs), 2)
        if settings.learns == "numbers":
            return Compared(rows, cosines(first, second), judged.targets.double().numpy())
        if settings.learns == "pairs":
            return retrieved(rows, first, second, [[row] for row in range(len(first))])
        classes = judged.targets.numpy()
        asked, known = sought(classes)
        right = [np.flatnonzero(classes[known] == classes[row]).tolist() for row in asked.tolist()]
        return retrieved(rows.take(asked), first[asked], first[known], right)

    @override
    def settings_of(self, manifest: BundleManifest, rows: Sequence[Row]) -> Contrast:
        entry: Any = manifest.head
        return self.fit(EmbeddingHead(size=entry.size or None), rows)

    @override
    def entry(self, settings: Contrast, hidden_size: int, pooling: Any) -> HeadEntry:
        return HeadEntry(pooling=pooling, hidden_size=hidden_size, size=settings.size)

    @override
    def asks(self, *, paired: bool) -> Any:
        # Of a pair, too, each text has a vector of its own.
        return "text"


def partners(classes: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Returns for each row another one of its class, the same one each time; itself where it is alone."""
    random = np.random.default_rng(PAIRING_SEED)
    found = np.arange(len(classes))
    for name in np.unique(classes):
        rows = random.permutation(np.flatnonzero(classes == name))
        found[rows] = np.roll(rows, 1)
    return found


def sought(classes: "np.ndarray[Any, Any]") -> tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]:
    """Returns rows to search for, and those to search among: of each class every other one, in their order."""
    turn = np.zeros(len(classes), np.int64)
    for name in np.unique(classes):
        rows = np.flatnonzero(classes == name)
        turn[rows] = np.arange(len(rows)) % 2
    return np.flatnonzero(turn == 1), np.flatnonzero(turn == 0)


def unit(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the vectors of the first and of the second texts, [rows, size] each, of length 1."""
    first, second = functional.normalize(outputs, dim=1).chunk(2)
    return first, second


def contrast(first: Tensor, second: Tensor, classes: Tensor | None, temperature: float) -> Tensor:
    """Returns the cross entropy of finding the second text of each first one, and the first of each second."""
    scores = first @ second.T / temperature
    if classes is not None:
        same = classes[:, None] == classes[None, :]
        scores = scores.masked_fill(same & ~torch.eye(len(same), dtype=torch.bool), -torch.inf)
    right = torch.arange(len(scores))
    return (functional.cross_entropy(scores, right) + functional.cross_entropy(scores.T, right)) / 2


def cosent(first: Tensor, second: Tensor, numbers: Tensor, temperature: float) -> Tensor:
    """Returns log(1 + sum of exp(cosine of a less similar pair - cosine of a more similar one)), over those pairs."""
    cosines = (first * second).sum(1) / temperature
    wrong = cosines[:, None] - cosines[None, :]
    counts = numbers[:, None] < numbers[None, :]
    chosen = wrong[counts]
    return torch.cat([chosen.new_zeros(1), chosen]).logsumexp(0)


register("embedding", Embedding())
