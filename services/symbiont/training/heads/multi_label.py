"""Labels that each hold or not: a linear layer on the pooled hidden states."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from symbiont.bundle import BundleManifest
from symbiont.bundle import MultiLabelHead as HeadEntry
from symbiont.evaluation import MultiLabelled, Rows
from symbiont.evaluation.arrays import sigmoid
from symbiont.evaluation.metrics.multi_label import thresholds_of
from symbiont.training.data.rows import Row
from symbiont.training.heads import Criterion, Encode, Head, Material, Rule, register
from symbiont.training.heads.measures import micro_and_macro_f1
from symbiont.training.heads.pooled import grown, pooled_material, stacked
from symbiont.training.spec import MultiLabelHead
from symbiont.training.types import Evaluation

# Beyond it, the few rows that have a rare label would be all that is learnt.
MOST_WEIGHT = 100.0


class MultiLabel(Head):
    """Binary cross entropy of each label."""

    has_labels = True

    @override
    def material(self, settings: MultiLabelHead, rows: Sequence[Row], encode: Encode, max_tokens: int) -> Material:
        index = {label: i for i, label in enumerate(settings.labels)}
        targets = torch.zeros(len(rows), len(settings.labels))
        for number, row in enumerate(rows):
            for name in names(row):
                targets[number, index[name]] = 1.0
        return pooled_material(rows, targets, encode)

    @override
    def outputs(self, settings: MultiLabelHead) -> int:
        return len(settings.labels)

    @override
    def criterion(self, settings: MultiLabelHead, targets: Tensor) -> Criterion:
        weights = None
        if settings.class_weights == "CLASS_WEIGHTS_BALANCED":
            held = targets.sum(0)
            weights = ((len(targets) - held) / held.clamp(min=1)).clamp(1 / MOST_WEIGHT, MOST_WEIGHT)
        return lambda logits, truth: functional.binary_cross_entropy_with_logits(logits, truth, pos_weight=weights)

    @override
    def evaluate(
        self,
        settings: MultiLabelHead,
        outputs: Sequence["np.ndarray[Any, Any]"],
        judged: Material,
        decided: Any = None,
    ) -> Evaluation:
        logits, truth = np.stack(outputs), judged.targets.numpy() > 0.5
        held = self.decide(settings, logits, Rule()) if decided is None else decided
        micro, macro = micro_and_macro_f1(*(table.sum(axis=0) for table in (truth & held, held, truth)))
        values = {
            "subset_accuracy": float((truth == held).all(axis=1).mean()),
            "micro_f1": micro,
            "macro_f1": macro,
            "loss": float(functional.binary_cross_entropy_with_logits(torch.from_numpy(logits), judged.targets)),
        }
        return Evaluation(
            row_count=len(truth),
            accuracy=values["subset_accuracy"],
            macro_f1=values["macro_f1"],
            loss=values["loss"],
            labels=settings.labels,
            confusion_matrix=(),
            metrics=tuple(sorted(values.items())),
            primary_metric="micro_f1",
        )

    @override
    def outcome(
        self, settings: MultiLabelHead, outputs: Sequence["np.ndarray[Any, Any]"], judged: Material, rows: Rows
    ) -> MultiLabelled:
        logits, truth = stacked(outputs, len(settings.labels)), judged.targets.numpy() > 0.5
        return MultiLabelled(rows, settings.labels, logits, truth)

    @override
    def settings_of(self, manifest: BundleManifest, rows: Sequence[Row]) -> MultiLabelHead:
        return MultiLabelHead(labels=grown(manifest.labels, (name for row in rows for name in names(row))))

    @override
    def thresholds(
        self, settings: MultiLabelHead, logits: "np.ndarray[Any, Any]", truth: "np.ndarray[Any, Any]"
    ) -> tuple[float, ...]:
        tuned = settings.thresholds == "THRESHOLDS_BEST_F1"
        return thresholds_of(sigmoid(logits), truth) if tuned else ()

    @override
    def decide(self, settings: MultiLabelHead, logits: "np.ndarray[Any, Any]", rule: Rule) -> Any:
        return sigmoid(logits.astype(np.float64) / rule.temperature) >= np.asarray(rule.thresholds or 0.5)

    @override
    def entry(self, settings: MultiLabelHead, hidden_size: int, pooling: Any) -> HeadEntry:
        return HeadEntry(pooling=pooling, hidden_size=hidden_size, num_labels=len(settings.labels))


def names(row: Row) -> list[str]:
    """Returns the labels that hold for a row."""
    label: Any = row.label
    return [label] if isinstance(label, str) else [str(name) for name in label or ()]


register("multi_label", MultiLabel())
