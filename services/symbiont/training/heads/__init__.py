"""Task heads: what a bundle answers.

A head is one file with one `register` call. The key is the field of `TrainingSpec` that chooses it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from symbiont.training.types import Evaluation

if TYPE_CHECKING:
    from torch import Tensor

    from symbiont.bundle import BundleManifest
    from symbiont.bundle.heads import Head as HeadEntry
    from symbiont.evaluation import Outcome, Rows
    from symbiont.training.data.rows import Row
    from symbiont.training.worker.examples import Encoded, Example

# Gives the encoded texts of rows; what it takes beside them is what `Tokenize` takes.
Encode = Callable[..., "list[Encoded]"]
Criterion = Callable[["Tensor", "Tensor"], "Tensor"]
Outputs = "Sequence[np.ndarray[Any, Any]]"


@dataclass(frozen=True, eq=False)
class Material:
    """Rows as a network takes them.

    Attributes:
        examples: what it takes, one for each row, or several where a long text is read in windows.
        targets: what it is to learn, with an entry for each example.
        rows: what they were made of.
        encoded: the texts or windows behind the examples, where an evaluation needs them.
    """

    examples: "Sequence[Example]"
    targets: "Tensor"
    rows: "Sequence[Row]"
    encoded: "Sequence[Encoded]" = ()


# Share of a window that it has in common with the next one, as in serving.
OVERLAP = 4


@dataclass(frozen=True)
class Rule:
    """What makes answers of a head's outputs.

    Attributes:
        temperature: probabilities are those of outputs / temperature.
        thresholds: the probabilities from which labels hold; empty: 0.5 for all.
    """

    temperature: float = 1.0
    thresholds: tuple[float, ...] = ()


class Head:
    """How a task is learnt, judged and stored. `settings` are its field of the spec, filled in by `fit`."""

    # Whether it is on each token's hidden state, not on the pooled ones.
    on_tokens = False
    # Whether a row is two texts to it, each with an output of its own.
    compares = False
    # Whether its answers are named by labels of the dataset.
    has_labels = False
    # Whether it is a base that learns, and nothing is answered: `outputs`, `entry`, `labels` and `asks` are not called.
    makes_base = False

    def fit(self, settings: Any, rows: "Sequence[Row]") -> Any:
        """Returns the settings with what follows from the rows to learn from."""
        return settings

    def fit_as(self, settings: Any, rows: "Sequence[Row]", entry: "HeadEntry") -> Any:
        """Returns what `fit` does, with what follows from the rows as a head has it that is trained on."""
        return self.fit(settings, rows)

    def material(self, settings: Any, rows: "Sequence[Row]", encode: Encode, max_tokens: int) -> Material:
        """Returns rows as the network takes them; `encode` gives the tokens of their texts."""
        raise NotImplementedError

    def outputs(self, settings: Any) -> int:
        """Returns how many outputs it has, for a row or for each of its tokens; 0 where it has no layer."""
        return 1

    def criterion(self, settings: Any, targets: "Tensor") -> Criterion:
        """Returns the mean loss of a batch as a function of outputs and targets; `targets` here are all of them."""
        raise NotImplementedError

    def by_row(
        self, outputs: "Sequence[np.ndarray[Any, Any]]", judged: Material
    ) -> "tuple[Sequence[np.ndarray[Any, Any]], Material]":
        """Returns outputs and rows by which a head is judged: where a text is read in windows and has one answer, the
        mean over these, as in serving."""
        if self.on_tokens or len(judged.encoded) <= len(judged.rows):
            return outputs, judged
        windows: list[list[int]] = [[] for _ in judged.rows]
        for number, item in enumerate(judged.encoded):
            windows[item.text].append(number)
        means: list[np.ndarray[Any, Any]] = [
            np.stack([outputs[n] for n in numbers]).mean(axis=0, dtype=np.float32) for numbers in windows
        ]
        first = [numbers[0] for numbers in windows]
        return means, replace(judged, targets=judged.targets[first])

    def evaluate(
        self, settings: Any, outputs: "Sequence[np.ndarray[Any, Any]]", judged: Material, decided: Any = None
    ) -> Evaluation:
        """Returns quality on rows that were not trained on; `outputs` are those of each example.

        `decided` is what is answered, as `decide` gives it; None for what follows from the outputs by themselves.
        """
        raise NotImplementedError

    def thresholds(
        self, settings: Any, logits: "np.ndarray[Any, Any]", truth: "np.ndarray[Any, Any]"
    ) -> tuple[float, ...]:
        """Returns the thresholds of a rule as these rows would have them, whose logits have their temperature."""
        return ()

    def decide(self, settings: Any, logits: "np.ndarray[Any, Any]", rule: Rule) -> "np.ndarray[Any, Any]":
        """Returns what is answered for logits [rows, labels]: one of the labels, [rows], or which hold, [rows, labels].

        Of heads with probabilities only.
        """
        raise NotImplementedError

    def outcome(
        self, settings: Any, outputs: "Sequence[np.ndarray[Any, Any]]", judged: Material, rows: "Rows"
    ) -> "Outcome":
        """Returns what was said of rows, beside what is true; `outputs` are as of `evaluate`, `rows` those of `judged`.

        Probabilities are as they come out, uncalibrated.
        """
        raise NotImplementedError

    def settings_of(self, manifest: "BundleManifest", rows: "Sequence[Row]") -> Any:
        """Returns the settings by which a stored bundle is judged on rows; they may have labels that it does not know,
        which then stand behind its own."""
        raise NotImplementedError

    def entry(self, settings: Any, hidden_size: int, pooling: Any) -> "HeadEntry":
        """Returns what the bundle's manifest says of the head."""
        raise NotImplementedError

    def labels(self, settings: Any) -> tuple[str, ...]:
        """Returns the labels of the manifest."""
        return tuple(settings.labels) if self.has_labels else ()

    def asks(self, *, paired: bool) -> Literal["text", "pair"]:
        """Returns what a bundle that learnt from pairs, or from single texts, is asked with."""
        return "pair" if paired else "text"


_HEADS: dict[str, Head] = {}


def register(key: str, head: Head) -> None:
    """Adds a head; two of one name are an error."""
    if key in _HEADS:
        raise ValueError(f"task head {key!r} is registered twice")
    _HEADS[key] = head


def all_heads() -> Mapping[str, Head]:
    """Returns every head by the field of a spec that chooses it."""
    # Importing registers them; of heads for one kind of label the first is what is usual.
    from symbiont.training.heads import (  # noqa: F401
        classification,
        embedding,
        entities,
        masked_tokens,
        multi_label,
        score,
        spans,
    )

    return _HEADS


def head_for(spec: Any) -> tuple[Head, Any]:
    """Returns the head that a TrainingSpec chooses, and its settings there."""
    chosen = [(head, getattr(spec, key)) for key, head in all_heads().items() if getattr(spec, key) is not None]
    if len(chosen) != 1:
        raise ValueError(f"a spec must choose one task head, this one chooses {len(chosen)}")
    return chosen[0]
