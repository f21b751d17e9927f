"""Task heads of any size, applied to the rows of one batch."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from symbiont.common.errors import IntegrityError
from symbiont.engine.row import Floats
from symbiont.engine.runtime import Array, View

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A linear layer: weight [outputs, inputs], bias [outputs]."""

    weight: Array
    bias: Array

    def __call__(self, inputs: Array) -> Array:
        """Takes [rows, inputs], returns [rows, outputs]."""
        return np.asarray(inputs @ self.weight.T + self.bias, dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Gate:
    """Chooses between the hidden states and what a layer makes of the business fields (arXiv 1702.01992)."""

    gate: Layer
    fields: Layer

    def __call__(self, hidden: Array, features: Array) -> Array:
        """Takes [rows, hidden] and [rows, features], returns [rows, hidden]."""
        share = expit(self.gate(np.hstack([hidden, features])))
        return share * hidden + (1 - share) * np.tanh(self.fields(features))


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """Layers on a view of the hidden states.

    Attributes:
        last: gives the outputs.
        hidden: layers before it, each followed by ReLU.
        features: how many values a row has beside the hidden states.
        gate: how they meet these; None where they stand behind them.
        own: a customer's layers before all others, from [rows, inputs] to [rows, outputs].
    """

    view: View
    last: Layer
    hidden: Mapping[str, Layer] = field(default_factory=dict)
    features: int = 0
    gate: Gate | None = None
    own: Callable[[Array], Array] | None = None

    def __call__(self, inputs: Array) -> Array:
        """Takes [rows, inputs], returns [rows, outputs]."""
        if self.own is not None:
            inputs = self.own(inputs)
        for layer in self.hidden.values():
            inputs = np.maximum(layer(inputs), 0)
        return self.last(inputs)


@dataclass(frozen=True, slots=True)
class NoHead:
    """A view of the hidden states as it is."""

    view: View
    features: int = 0


def apply_heads(
    encoded: Sequence[Array], features: Sequence[Floats], heads: Sequence[Head | NoHead | None]
) -> list[Array | IntegrityError]:
    """Returns each row's values, [outputs] or [tokens, outputs], or the row itself where it has no layer.

    One product per head, not per row: the rows of a head are gathered first. Those of a head that fails have its error,
    and no others.
    """
    results: list[Array | IntegrityError] = list(encoded)
    rows_of: dict[Head, list[int]] = {}
    for row, head in enumerate(heads):
        if isinstance(head, Head):
            rows_of.setdefault(head, []).append(row)
    for head, rows in rows_of.items():
        computed: Sequence[Array | IntegrityError]
        try:
            computed = _apply(head, [encoded[row] for row in rows], [features[row] for row in rows])
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001, what a customer's layers run into is no fault of the rows beside theirs
            _LOG.exception("a head failed")
            computed = [IntegrityError("its head cannot compute these rows; the host's log says why")] * len(rows)
        for row, values in zip(rows, computed, strict=True):
            results[row] = values
    return results


def _apply(head: Head, encoded: Sequence[Array], features: Sequence[Floats]) -> Sequence[Array]:
    if head.view == "tokens":
        values = _checked(head, np.concatenate(encoded))
        return np.split(values, np.cumsum([len(row) for row in encoded[:-1]]))
    inputs = np.stack(encoded)
    if head.features:
        beside = np.stack(features)
        inputs = head.gate(inputs, beside) if head.gate else np.hstack([inputs, beside])
    return list(_checked(head, inputs))


def _checked(head: Head, inputs: Array) -> Array:
    values, expected = head(inputs), (len(inputs), len(head.last.bias))
    # One row for all of them would pass for an answer.
    if values.shape != expected:
        raise ValueError(f"a head gives the shape {values.shape}, not {expected}")
    return values


def head_of(
    view: View, tensors: Mapping[str, Array], features: int, own: Callable[[Array], Array] | None = None
) -> Head:
    """Puts the tensors of a bundle's head together, which were checked against its manifest."""

    def layer(prefix: str) -> Layer:
        return Layer(tensors[f"{prefix}weight"], tensors[f"{prefix}bias"])

    prefixes = [
        name.removesuffix("weight") for name in tensors if name.startswith("layers.") and name.endswith("weight")
    ]
    gate = Gate(layer("gate."), layer("fields.")) if "gate.weight" in tensors else None
    return Head(view, layer(""), {prefix: layer(prefix) for prefix in sorted(prefixes)}, features, gate, own)


def expit(values: Array) -> Array:
    """Returns 1 / (1 + exp(-values)) without overflow."""
    small = np.exp(-np.abs(values))
    return np.asarray(np.where(values >= 0, 1 / (1 + small), small / (1 + small)), np.float32)
