"""Task heads as a manifest describes them: what a bundle answers, and the shape of the layer that does it."""

from abc import abstractmethod
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from symbiont.bundle.part import Part

Pooling = Literal["mean", "cls"]


Fusion = Literal["concatenated", "gated"]


class LinearHead(Part):
    """A linear layer, [outputs, inputs]."""

    hidden_size: int = Field(ge=1)

    @property
    @abstractmethod
    def outputs(self) -> int:
        """How many values it gives, for a row or for each of its tokens."""


class OwnModule(Part):
    """A customer's own layers: the graph in `module.onnx`, to so many outputs; `name` is what training knew it by."""

    name: str = Field(min_length=1)
    outputs: int = Field(ge=1, le=4096)


class PooledHead(LinearHead):
    """On the pooled hidden states, and on the encoded business fields where the bundle has any.

    `fusion` is how the two meet. Concatenated, the fields stand behind the hidden states. Gated (Arevalo et al. 2017,
    arXiv 1702.01992), a value is `g * hidden + (1 - g) * tanh(fields)`, where `fields` is a linear layer on the fields
    and `g` the sigmoid of one on both. Then comes the `own_module`, if there is one, and then `hidden_layers` of these
    widths, each followed by ReLU.
    """

    pooling: Pooling
    fusion: Fusion = "concatenated"
    hidden_layers: tuple[Annotated[int, Field(ge=1)], ...] = ()
    own_module: OwnModule | None = None

    def fused(self, features: int) -> int:
        """Returns how many values a row has where they met, of so many of the business fields."""
        return self.hidden_size + (features if self.fusion == "concatenated" else 0)


class ClassificationHead(PooledHead):
    """A choice between labels that exclude each other.

    `costs` say what answers cost, [true][answered]: the label of the least expected cost is answered. Without them it
    is the most probable one.
    """

    kind: Literal["classification"] = "classification"
    num_labels: int = Field(ge=1)
    costs: tuple[tuple[float, ...], ...] = ()

    @property
    def outputs(self) -> int:
        """One logit for each label."""
        return self.num_labels

    @cached_property
    def _matrix(self) -> npt.NDArray[np.float64]:
        return np.asarray(self.costs, np.float64)

    def decide(self, probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Takes probabilities [..., labels]; returns the places of the labels that are answered, [...].

        Of equal ones it is the first.
        """
        if not self.costs:
            return np.asarray(probabilities.argmax(axis=-1))
        return np.asarray((probabilities @ self._matrix).argmin(axis=-1))


class MultiLabelHead(PooledHead):
    """Labels that each hold or not. `thresholds` are the probabilities from which they hold; empty: 0.5 for all."""

    kind: Literal["multi_label"] = "multi_label"
    num_labels: int = Field(ge=1)
    thresholds: tuple[Annotated[float, Field(ge=0, le=1)], ...] = ()

    @property
    def outputs(self) -> int:
        """One logit for each label."""
        return self.num_labels


class ScoreHead(PooledHead):
    """A number: `offset + scale * link(value)`."""

    kind: Literal["score"] = "score"
    link: Literal["identity", "sigmoid"] = "identity"
    scale: float = 1.0
    offset: float = 0.0

    @property
    def outputs(self) -> int:
        """The value."""
        return 1


class EmbeddingHead(PooledHead):
    """A vector, a projection of the pooled hidden states; `size` 0 stands for those themselves, without a layer."""

    kind: Literal["embedding"] = "embedding"
    size: int = Field(ge=0)

    @property
    def outputs(self) -> int:
        """The length of the vector."""
        return self.size or self.hidden_size


class EntityHead(LinearHead):
    """A tag for each token; the manifest's labels are the tags: `O`, and `B-` and `I-` of each type of entity."""

    kind: Literal["entities"] = "entities"
    num_labels: int = Field(ge=1)

    @property
    def outputs(self) -> int:
        """One logit for each tag."""
        return self.num_labels


class SpanHead(LinearHead):
    """The answer to a question as a part of a context: for each token, whether it begins and whether it ends there.

    The first token stands for "no answer" (as in SQuAD 2.0, Rajpurkar et al., arXiv 1806.03822); with `always_answers`
    the most probable part is the answer, whatever that token says.
    """

    kind: Literal["spans"] = "spans"
    max_answer_tokens: int = Field(default=30, ge=1)
    always_answers: bool = False

    @property
    def outputs(self) -> int:
        """The logits of beginning and ending."""
        return 2


Head = Annotated[
    ClassificationHead | MultiLabelHead | ScoreHead | EmbeddingHead | EntityHead | SpanHead,
    Field(discriminator="kind"),
]
Task = Literal["classification", "multi_label", "score", "embedding", "entities", "spans"]


def shapes(head: Head, features: int) -> dict[str, tuple[int, ...]]:
    """Returns the tensors of a head by name, with their shapes; `features` is the width of the business fields."""
    if isinstance(head, EmbeddingHead) and not head.size:
        return {}
    width, found = head.hidden_size + features, dict[str, tuple[int, ...]]()
    if isinstance(head, PooledHead):
        if features and head.fusion == "gated":
            found |= _layer("gate.", head.hidden_size, width) | _layer("fields.", head.hidden_size, features)
        width = head.own_module.outputs if head.own_module else head.fused(features)
        for number, size in enumerate(head.hidden_layers):
            found |= _layer(f"layers.{number}.", size, width)
            width = size
    return found | _layer("", head.outputs, width)


def _layer(prefix: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{prefix}weight": (outputs, inputs), f"{prefix}bias": (outputs,)}
