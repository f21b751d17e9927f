"""One class out of several: a linear layer on the pooled hidden states."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.metrics import confusion_matrix  # type: ignore[import-untyped]
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from symbiont.bundle import BundleManifest
from symbiont.bundle import ClassificationHead as HeadEntry
from symbiont.evaluation import Classified, Rows
from symbiont.evaluation.arrays import log_softmax
from symbiont.training.costs import named
from symbiont.training.data.rows import Row
from symbiont.training.heads import Criterion, Encode, Head, Material, Rule, register
from symbiont.training.heads.measures import micro_and_macro_f1
from symbiont.training.heads.pooled import balanced, grown, pooled_material, stacked
from symbiont.training.spec import ClassificationHead
from symbiont.training.types import Evaluation


class Classification(Head):
    """Cross entropy over classes that exclude each other."""

    has_labels = True

    @override
    def material(self, settings: ClassificationHead, rows: Sequence[Row], encode: Encode, max_tokens: int) -> Material:
        index = {label: i for i, label in enumerate(settings.labels)}
        targets = torch.tensor([index[str(row.label)] for row in rows])
        return pooled_material(rows, targets, encode)

    @override
    def outputs(self, settings: ClassificationHead) -> int:
        return len(settings.labels)

    @override
    def criterion(self, settings: ClassificationHead, targets: Tensor) -> Criterion:
        gamma, smoothing = settings.focal_gamma, settings.label_smoothing
        weights = None
        if settings.class_weights == "CLASS_WEIGHTS_BALANCED":
            weights = balanced(torch.bincount(targets, minlength=len(settings.labels)))

        def loss(logits: Tensor, truth: Tensor) -> Tensor:
            # Divided by the rows, not by their weights: parts of a step then add up to the step.
            each = functional.cross_entropy(logits, truth, weights, reduction="none", label_smoothing=smoothing)
            if gamma:
                right = logits.log_softmax(1).gather(1, truth[:, None])[:, 0].exp()
                each = each * (1 - right) ** gamma
            return each.mean()

        return loss

    @override
    def evaluate(
        self,
        settings: ClassificationHead,
        outputs: Sequence["np.ndarray[Any, Any]"],
        judged: Material,
        decided: Any = None,
    ) -> Evaluation:
        logits, truth = np.stack(outputs), judged.targets.numpy()
        best = self.decide(settings, logits, Rule()) if decided is None else decided
        classes = list(range(len(settings.labels)))
        matrix = confusion_matrix(truth, best, labels=classes)
        accuracy = float((truth == best).mean())
        _, macro_f1 = micro_and_macro_f1(np.diag(matrix), matrix.sum(axis=0), matrix.sum(axis=1))
        # Of the model, whatever it was trained by.
        loss = float(functional.cross_entropy(torch.from_numpy(logits), judged.targets))
        metrics = {"accuracy": accuracy, "loss": loss, "macro_f1": macro_f1}
        if settings.costs:
            costs = np.asarray(settings.costs)
            metrics["mean_cost"] = float(costs[truth, best].mean())
            metrics["most_probable_cost"] = float(costs[truth, logits.argmax(axis=1)].mean())
        return Evaluation(
            row_count=len(truth),
            accuracy=accuracy,
            macro_f1=macro_f1,
            loss=loss,
            labels=settings.labels,
            confusion_matrix=tuple(tuple(int(count) for count in row) for row in matrix),
            metrics=tuple(sorted(metrics.items())),
            primary_metric="accuracy",
        )

    @override
    def outcome(
        self, settings: ClassificationHead, outputs: Sequence["np.ndarray[Any, Any]"], judged: Material, rows: Rows
    ) -> Classified:
        return Classified(rows, settings.labels, stacked(outputs, len(settings.labels)), judged.targets.numpy())

    @override
    def settings_of(self, manifest: BundleManifest, rows: Sequence[Row]) -> ClassificationHead:
        labels = grown(manifest.labels, (str(row.label) for row in rows))
        head = manifest.head
        known = named(head.costs, manifest.labels) if isinstance(head, HeadEntry) and head.costs else None
        return ClassificationHead(labels=labels, cost_matrix=known)

    @override
    def decide(self, settings: ClassificationHead, logits: "np.ndarray[Any, Any]", rule: Rule) -> Any:
        known = logits.shape[1]
        costs = tuple(line[:known] for line in settings.costs[:known])
        entry = HeadEntry(pooling="mean", hidden_size=1, num_labels=known, costs=costs)
        return entry.decide(np.exp(log_softmax(logits.astype(np.float64) / rule.temperature)))

    @override
    def entry(self, settings: ClassificationHead, hidden_size: int, pooling: Any) -> HeadEntry:
        labels = len(settings.labels)
        return HeadEntry(pooling=pooling, hidden_size=hidden_size, num_labels=labels, costs=settings.costs)


register("classification", Classification())
