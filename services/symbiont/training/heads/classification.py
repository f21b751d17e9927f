"""One class out of several: a linear layer on the pooled hidden states."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.metrics import confusion_matrix, f1_score  # type: ignore[import-untyped]
from torch import Tensor, nn

from symbiont.bundle import ClassificationHead as HeadEntry
from symbiont.training.heads import register
from symbiont.training.spec import ClassificationHead
from symbiont.training.types import Evaluation

DROPOUT = 0.1


class Classification:
    """Cross entropy over classes that exclude each other."""

    def build(self, settings: ClassificationHead, hidden_size: int) -> nn.Module:
        """Returns dropout and a linear layer [hidden_size, labels]."""
        return nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(hidden_size, len(settings.labels)))

    def targets(self, settings: ClassificationHead, labels: Sequence[str]) -> Tensor:
        """Returns the index of each label."""
        index = {label: i for i, label in enumerate(settings.labels)}
        return torch.tensor([index[label] for label in labels])

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Returns the mean cross entropy."""
        return nn.functional.cross_entropy(logits, targets)

    def evaluate(self, settings: ClassificationHead, logits: "np.ndarray[Any, Any]", targets: Tensor) -> Evaluation:
        """Returns accuracy, macro-F1 over all labels, loss and the confusion matrix."""
        truth, best = targets.numpy(), logits.argmax(axis=1)
        classes = range(len(settings.labels))
        matrix = confusion_matrix(truth, best, labels=list(classes))
        return Evaluation(
            row_count=len(truth),
            accuracy=float((truth == best).mean()),
            macro_f1=float(f1_score(truth, best, labels=list(classes), average="macro", zero_division=0.0)),
            loss=float(self.loss(torch.from_numpy(logits), targets)),
            labels=settings.labels,
            confusion_matrix=tuple(tuple(int(count) for count in row) for row in matrix),
        )

    def tensors(self, module: nn.Module) -> Mapping[str, Tensor]:
        """Returns weight [labels, hidden_size] and bias [labels]."""
        linear = module[1]  # type: ignore[index]
        return {"weight": linear.weight, "bias": linear.bias}

    def entry(self, settings: ClassificationHead, hidden_size: int, pooling: Any) -> HeadEntry:
        """Returns the manifest's `classification`."""
        return HeadEntry(pooling=pooling, hidden_size=hidden_size, num_labels=len(settings.labels))


register("classification", Classification())
