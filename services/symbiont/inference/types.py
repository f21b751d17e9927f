"""What the inference service speaks of."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from symbiont.bundle import BusinessField, Head, Profile
from symbiont.common.licenses import LicenseTerms
from symbiont.common.offsets import OffsetUnit
from symbiont.inference.instances import Instance
from symbiont.inference.results import Result

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
        """`models/{model}/versions/{version}`, or `bundles/{digest}` for a bundle that was asked for by its digest."""
        return f"models/{self.model}/versions/{self.number}" if self.number else f"bundles/{self.bundle_digest}"

    @property
    def open_name(self) -> tuple[str, str]:
        """The pair that the Open Inference Protocol names it by: `{model}` and its number, or `bundles/{digest}`."""
        return (self.model, str(self.number)) if self.number else (self.name, "")


@dataclass(frozen=True)
class ReleaseRules:
    """When a release ends by itself; None switches a rule off. Shares are 0 to 1, the ratio is over 1."""

    max_error_rate_increase: float | None = None
    max_p99_latency_ratio: float | None = None
    max_label_shift: float | None = None
    min_samples: int = 500


@dataclass(frozen=True)
class Release:
    """A version that is tried on the calls of an alias.

    Attributes:
        weight: percent of the calls that the candidate answers.
        shadow: whether it also computes the others, for nobody to see.
    """

    name: str
    candidate: ModelVersion
    weight: int
    shadow: bool
    rules: ReleaseRules


@dataclass(frozen=True)
class Alias:
    """A name that callers use for a version of a model, and the release that runs on it, if one does."""

    model: str
    alias: str
    version: ModelVersion
    release: Release | None = None

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

    `temperature` divides the logits before softmax or sigmoid. `max_tokens` is where training cut a text, or with
    `windows` began another window. `takes` says whether it is asked with one text or with a pair. `owner` is the tenant
    that it belongs to, empty for the installation.
    """

    head: Head
    labels: tuple[str, ...]
    temperature: float
    base_digest: str
    tokenizer_digest: str
    max_tokens: int
    takes: Literal["text", "pair"] = "text"
    fields: tuple[BusinessField, ...] = ()
    windows: bool = False
    profile: Profile | None = None
    owner: str = ""
    signers: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Role:
    """What a call is to a release: one for the candidate to answer, or one for the version that the alias points at."""

    release: Release
    is_candidate: bool


@dataclass(frozen=True)
class Served:
    """What a model reference means now: a version, the facts of its bundle, and what the call is to a release."""

    version: ModelVersion
    bundle: BundleInfo
    role: Role | None = None


class Priority(IntEnum):
    """How urgent a call is against others; less is more urgent."""

    INTERACTIVE = 1
    BATCH = 2


@dataclass(frozen=True)
class PredictCall:
    """What to predict on, in the order of the answers. `top_k` 0 and a threshold of None leave the task's defaults."""

    model: str
    instances: Sequence[Instance]
    top_k: int = 0
    threshold: float | None = None
    offset_unit: OffsetUnit = OffsetUnit.CODE_POINT
    routing_key: str = ""
    priority: Priority = Priority.INTERACTIVE


@dataclass(frozen=True)
class Prediction:
    """The answer for one instance, and whether its text was cut."""

    result: Result
    truncated: bool


@dataclass(frozen=True)
class PredictResult:
    """The answers of a call, what gave them, and the seconds spent in each stage."""

    predictions: Sequence[Prediction]
    version: ModelVersion
    seconds: dict[str, float]


@dataclass(frozen=True)
class LicensedBase:
    """A registered base model, who provides it, and on what terms it may be used."""

    name: str
    digest: str
    provider: str
    license: str
    terms: LicenseTerms
