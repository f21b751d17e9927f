"""A number: a linear layer on the pooled hidden states."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import pearsonr, spearmanr  # type: ignore[import-untyped]
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from symbiont.bundle import BundleManifest
from symbiont.bundle import ScoreHead as HeadEntry
from symbiont.evaluation import Rows, Scored
from symbiont.training.data.rows import Row
from symbiont.training.heads import Criterion, Encode, Head, Material, register
from symbiont.training.heads.fields import mean_and_deviation
from symbiont.training.heads.pooled import pooled_material
from symbiont.training.spec import ScoreHead
from symbiont.training.types import Evaluation


@dataclass(frozen=True)
class Scale:
    """A number is `offset + scale * value`, of a value that goes from 0 to 1 where it is `limited`."""

    offset: float
    scale: float
    limited: bool

    def values(self, outputs: Tensor) -> Tensor:
        """Returns what the outputs [rows, 1] stand for, before scale and offset, [rows]."""
        return outputs[:, 0].sigmoid() if self.limited else outputs[:, 0]

    def numbers(self, values: Tensor) -> "np.ndarray[Any, Any]":
        """Returns the numbers that values are, [rows]."""
        found: np.ndarray[Any, Any] = self.offset + self.scale * values.double().numpy()
        return found


class Score(Head):
    """Mean squared error, of numbers brought to mean 0 and deviation 1, or between two limits to 0 to 1."""

    @override
    def fit(self, settings: ScoreHead, rows: Sequence[Row]) -> Scale:
        if settings.minimum is not None and settings.maximum is not None:
            return Scale(settings.minimum, settings.maximum - settings.minimum, limited=True)
        return Scale(*mean_and_deviation(numbers(rows).tolist()), limited=False)

    @override
    def fit_as(self, settings: ScoreHead, rows: Sequence[Row], entry: Any) -> Scale:
        return Scale(entry.offset, entry.scale, limited=entry.link == "sigmoid")

    @override
    def material(self, settings: Scale, rows: Sequence[Row], encode: Encode, max_tokens: int) -> Material:
        targets = torch.from_numpy(((numbers(rows) - settings.offset) / settings.scale).astype(np.float32))
        return pooled_material(rows, targets, encode)

    @override
    def criterion(self, settings: Scale, targets: Tensor) -> Criterion:
        return lambda outputs, truth: functional.mse_loss(settings.values(outputs), truth)

    @override
    def evaluate(
        self, settings: Scale, outputs: Sequence["np.ndarray[Any, Any]"], judged: Material, decided: Any = None
    ) -> Evaluation:
        values = settings.values(torch.from_numpy(np.stack(outputs)))
        truth, found = numbers(judged.rows), settings.numbers(values)
        wrong = found - truth
        # Of numbers that are all the same there is none, and their deviation is not always exactly 0.
        varied = len(truth) > 2 and np.ptp(truth) > 0 and np.ptp(found) > 0
        metrics = {
            "loss": float(functional.mse_loss(values, judged.targets)),
            "mae": float(np.abs(wrong).mean()),
            "rmse": float(np.sqrt((wrong**2).mean())),
            "pearson": float(np.nan_to_num(pearsonr(truth, found).statistic)) if varied else 0.0,
            "spearman": float(np.nan_to_num(spearmanr(truth, found).statistic)) if varied else 0.0,
        }
        return Evaluation(
            row_count=len(truth),
            accuracy=0.0,
            macro_f1=0.0,
            loss=metrics["loss"],
            labels=(),
            confusion_matrix=(),
            metrics=tuple(sorted(metrics.items())),
            primary_metric="spearman",
        )

    @override
    def outcome(
        self, settings: Scale, outputs: Sequence["np.ndarray[Any, Any]"], judged: Material, rows: Rows
    ) -> Scored:
        values = settings.values(torch.from_numpy(np.stack(outputs)))
        return Scored(rows, settings.numbers(values), numbers(judged.rows))

    @override
    def settings_of(self, manifest: BundleManifest, rows: Sequence[Row]) -> Scale:
        entry: Any = manifest.head
        return Scale(entry.offset, entry.scale, limited=entry.link == "sigmoid")

    @override
    def entry(self, settings: Scale, hidden_size: int, pooling: Any) -> HeadEntry:
        link: Any = "sigmoid" if settings.limited else "identity"
        return HeadEntry(
            pooling=pooling, hidden_size=hidden_size, link=link, scale=settings.scale, offset=settings.offset
        )


def numbers(rows: Sequence[Row]) -> "np.ndarray[Any, Any]":
    """Returns the labels of rows, [rows]."""
    return np.array([row.label for row in rows], np.float64)


register("score", Score())
