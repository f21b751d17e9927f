"""Task heads: what a bundle answers.

A head is one file with one `register` call. The key is the field of `TrainingSpec` that chooses it.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from symbiont.training.types import Evaluation

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from symbiont.bundle import ClassificationHead as HeadEntry


class Head(Protocol):
    """How a task is learnt, judged and stored."""

    def build(self, settings: Any, hidden_size: int) -> "nn.Module":
        """Returns the module from pooled hidden states [rows, hidden_size] to logits."""

    def targets(self, settings: Any, labels: Sequence[str]) -> "Tensor":
        """Returns the training targets of labels."""

    def loss(self, logits: "Tensor", targets: "Tensor") -> "Tensor":
        """Returns the mean loss of a batch."""

    def evaluate(self, settings: Any, logits: "np.ndarray[Any, Any]", targets: "Tensor") -> Evaluation:
        """Returns quality on rows that were not trained on."""

    def tensors(self, module: "nn.Module") -> Mapping[str, "Tensor"]:
        """Returns the tensors of `head.safetensors`."""

    def entry(self, settings: Any, hidden_size: int, pooling: str) -> "HeadEntry":
        """Returns what the bundle's manifest says of the head."""


_HEADS: dict[str, Head] = {}


def register(key: str, head: Head) -> None:
    """Adds a head; two of one name are an error."""
    if key in _HEADS:
        raise ValueError(f"task head {key!r} is registered twice")
    _HEADS[key] = head


def head_for(spec: Any) -> tuple[Head, Any]:
    """Returns the head that a TrainingSpec chooses, and its settings there."""
    from symbiont.training.heads import classification  # noqa: F401, importing registers it

    chosen = [(head, getattr(spec, key)) for key, head in _HEADS.items() if getattr(spec, key) is not None]
    if len(chosen) != 1:
        raise ValueError(f"a spec must choose one task head, this one chooses {len(chosen)}")
    return chosen[0]
