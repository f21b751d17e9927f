"""The typed manifest of a bundle: what it needs, what it answers, and where it came from."""

import math
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# Empty stands for "there is none", for example a job that was trained without an evaluation set.
OptionalDigest = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
Pooling = Literal["mean", "cls"]
# Both are 0 at 0: a bottleneck may be made wider with zeros and stays what it was.
Activation = Literal["gelu", "relu"]


class _Part(BaseModel):
    """Frozen, with unknown keys refused: a manifest that this version half understands is not served."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Targeted(_Part):
    """Something small at each of some linear modules."""

    # Name suffixes, matched as PEFT matches them.
    target_modules: tuple[str, ...] = Field(min_length=1)

    def targets(self, module: str) -> bool:
        """Whether a module of this dotted name carries an adapter."""
        return any(module == target or module.endswith(f".{target}") for target in self.target_modules)


class _LowRank(_Targeted):
    """A low-rank product beside each target module."""

    rank: int = Field(ge=1, le=4096)
    alpha: float = Field(gt=0)


class LoraMethod(_LowRank):
    """Each target's output gains `scaling * B(A(x))` (LoRA, Hu et al., arXiv 2106.09685)."""

    kind: Literal["lora"] = "lora"
    rslora: bool = False

    @property
    def scaling(self) -> float:
        """alpha / rank, or alpha / sqrt(rank) for rank-stabilised LoRA (arXiv 2312.03732)."""
        return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)


class AdaLoraMethod(_LowRank):
    """Each target's output gains `scaling * B(E * A(x))`, E a vector of singular values, some of them pruned.

    AdaLoRA, Zhang et al., arXiv 2303.10512. `rank` is where each module began; what training left it may be less,
    even 0.
    """

    kind: Literal["adalora"] = "adalora"

    @property
    def scaling(self) -> float:
        """alpha over the rank that each module began with, as PEFT has it, its guard against 0 included."""
        return self.alpha / (self.rank + 1e-5)


class HoulsbyMethod(_Targeted):
    """Each target's output y becomes `y + up(activation(down(y)))` (Houlsby et al., arXiv 1902.00751).

    With the last linear modules of attention and of the feed-forward network as targets, that is before the residual
    is added, as in the paper.
    """

    kind: Literal["houlsby"] = "houlsby"
    # Width of the bottleneck.
    size: int = Field(ge=1, le=4096)
    activation: Activation = "gelu"


class NoMethod(_Part):
    """The base as it is: only the head was trained."""

    kind: Literal["none"] = "none"


Method = Annotated[LoraMethod | AdaLoraMethod | HoulsbyMethod | NoMethod, Field(discriminator="kind")]


class ClassificationHead(_Part):
    """One linear layer on the pooled hidden states."""

    kind: Literal["classification"] = "classification"
    pooling: Pooling
    hidden_size: int = Field(ge=1)
    num_labels: int = Field(ge=1)


class Calibration(_Part):
    """What turns logits into probabilities: softmax(logits / temperature)."""

    temperature: float = Field(default=1.0, gt=0)


class Lineage(_Part):
    """Where the weights came from."""

    job: str
    training_dataset: OptionalDigest
    evaluation_dataset: OptionalDigest
    seed: int
    code_version: str


class Golden(_Part):
    """A few rows of random ids with the logits that training saw for them; a loader must reproduce these."""

    input_ids: tuple[Annotated[tuple[int, ...], Field(min_length=1)], ...] = Field(min_length=1)
    logits: tuple[tuple[float, ...], ...]


class FileEntry(_Part):
    """Digest and size of one file; the artifact store writes it."""

    sha256: Digest
    size: int = Field(ge=0)


class BundleManifest(_Part):
    """Everything about a bundle but its weights."""

    kind: Literal["bundle"] = "bundle"
    format_version: Literal[1] = 1
    base_digest: Digest
    tokenizer_digest: Digest
    # Where training cut a text; serving must cut it there too.
    max_tokens: int = Field(ge=1)
    task: Literal["classification"] = "classification"
    labels: tuple[str, ...]
    method: Method
    head: ClassificationHead
    calibration: Calibration = Calibration()
    metrics: dict[str, float] = Field(default_factory=dict)
    lineage: Lineage
    golden: Golden
    # Filled by the artifact store; whoever writes a bundle leaves it empty.
    files: dict[str, FileEntry] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.labels) != self.head.num_labels or len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels: needs {self.head.num_labels} different names, one per output of the head")
        if len(self.golden.logits) != len(self.golden.input_ids):
            raise ValueError("golden: needs one row of logits per row of input_ids")
        if any(len(row) != self.head.num_labels for row in self.golden.logits):
            raise ValueError(f"golden.logits: every row needs {self.head.num_labels} values")
        return self
