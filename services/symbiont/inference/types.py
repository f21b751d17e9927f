"""What the inference service speaks of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]
Logits = NDArray[np.float32]


@dataclass(frozen=True)
class ModelVersion:
    """A trained bundle under a number, and the digests of all that shapes its answers."""

    model: str
    number: int
    bundle_digest: str
    base_digest: str
    tokenizer_digest: str

    @property
    def name(self) -> str:
        """`models/{model}/versions/{version}`."""
        return f"models/{self.model}/versions/{self.number}"


@dataclass(frozen=True)
class Alias:
    """A name that callers use for a version of a model."""

    model: str
    alias: str
    version: ModelVersion

    @property
    def reference(self) -> str:
        """`models/{model}@{alias}`, which is also the name of its health."""
        return f"models/{self.model}@{self.alias}"


@dataclass(frozen=True)
class AliasUpdate:
    """Aliases that are new or changed; with `complete`, all that there are."""

    aliases: Sequence[Alias]
    complete: bool


@dataclass(frozen=True)
class BundleInfo:
    """What must be known of a bundle beside its weights.

    `temperature` divides the logits before the softmax. `max_tokens` is where training cut a text.
    """

    labels: tuple[str, ...]
    temperature: float
    base_digest: str
    tokenizer_digest: str
    max_tokens: int


@dataclass(frozen=True)
class Served:
    """What a model reference means now: a version, and the facts of its bundle."""

    version: ModelVersion
    bundle: BundleInfo


@dataclass(frozen=True)
class Tokens:
    """A tokenized batch: ids of each text, whether it was cut, and the digest of the tokenizer that did it."""

    rows: Sequence[Ids]
    truncated: Sequence[bool]
    tokenizer_digest: str


@dataclass(frozen=True)
class PredictCall:
    """Texts to predict on, in the order of the answers. `top_k` 0 asks for every class."""

    model: str
    texts: Sequence[str]
    top_k: int = 0


@dataclass(frozen=True)
class ClassProbability:
    """A class and its probability, 0 to 1."""

    label: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """The answer for one text: classes, best first, and whether the text was cut."""

    classes: tuple[ClassProbability, ...]
    truncated: bool


@dataclass(frozen=True)
class PredictResult:
    """The answers of a call, what gave them, and the seconds spent in each stage."""

    predictions: Sequence[Prediction]
    version: ModelVersion
    seconds: dict[str, float]
