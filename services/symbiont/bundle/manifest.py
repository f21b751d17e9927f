"""The typed manifest of a bundle: what it needs, what it answers, and where it came from."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from symbiont.bundle.fields import BusinessField
from symbiont.bundle.heads import ClassificationHead, EntityHead, Head, MultiLabelHead, PooledHead, SpanHead, Task
from symbiont.bundle.part import Part
from symbiont.bundle.profile import Profile

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# Empty stands for "there is none", for example a job that was trained without an evaluation set.
OptionalDigest = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
# Both are 0 at 0: a bottleneck may be made wider with zeros and stays what it was.
Activation = Literal["gelu", "relu"]
# Of a token, as runtimes take it.
TokenId = Annotated[int, Field(ge=0, lt=1 << 31)]


class _Targeted(Part):
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


class BitFitMethod(Part):
    """The bias of every linear module and layer norm that has one is another (Ben Zaken et al., arXiv 2106.10199)."""

    kind: Literal["bitfit"] = "bitfit"


class PrefixMethod(Part):
    """Keys and values of virtual tokens before those of the row, in every layer (Li & Liang, arXiv 2101.00190).

    As in PEFT, the positions of a row begin after its virtual tokens.
    """

    kind: Literal["prefix"] = "prefix"
    virtual_tokens: int = Field(ge=1, le=4096)


class NoMethod(Part):
    """The base as it is: only the head was trained."""

    kind: Literal["none"] = "none"


Method = Annotated[
    LoraMethod | AdaLoraMethod | HoulsbyMethod | BitFitMethod | PrefixMethod | NoMethod, Field(discriminator="kind")
]


class Calibration(Part):
    """What turns logits into probabilities: softmax or sigmoid of logits / temperature."""

    temperature: float = Field(default=1.0, gt=0)


class Lineage(Part):
    """Where the weights came from."""

    job: str
    training_dataset: OptionalDigest
    evaluation_dataset: OptionalDigest
    seed: int
    code_version: str
    # Of the bundle that training started from; empty where it started from the base.
    started_from: OptionalDigest = ""


class Golden(Part):
    """A few rows of random ids with what training's network gave for them; a loader must reproduce these.

    `logits` of a head on tokens are laid end to end, token by token. `segment_starts` say where the second text of a
    pair begins, 0 for a single text, and `features` are encoded business fields; empty where no row has any.
    """

    input_ids: tuple[Annotated[tuple[TokenId, ...], Field(min_length=1)], ...] = Field(min_length=1)
    logits: tuple[tuple[float, ...], ...]
    segment_starts: tuple[int, ...] = ()
    features: tuple[tuple[float, ...], ...] = ()


class Int8(Part):
    """Whether the bundle may be computed in int8, and what was measured to decide it: on the rows of its evaluation.

    `agreement` is the share of rows that get the same label from both forms of the base; `metric_change` is int8's
    accuracy minus fp32's.
    """

    # Of the artifact of kind `quantized` that was measured; no other may compute it.
    quantized_digest: Digest
    rows: int = Field(ge=0)
    agreement: float = Field(ge=0, le=1)
    metric_change: float = Field(ge=-1, le=1)
    allowed: bool


class FileEntry(Part):
    """Digest and size of one file; the artifact store writes it."""

    sha256: Digest
    size: int = Field(ge=0)


class BundleManifest(Part):
    """Everything about a bundle but its weights."""

    kind: Literal["bundle"] = "bundle"
    format_version: Literal[1] = 1
    base_digest: Digest
    tokenizer_digest: Digest
    # Where training cut a text; serving must cut it there too.
    max_tokens: int = Field(ge=1)
    task: Task = "classification"
    # What it is asked with: one text, or two in one row (a question with a context, a query with a document).
    input: Literal["text", "pair"] = "text"
    # Whether a longer text is read in windows, and its outputs are the mean over them; of tasks that read vectors of
    # whole texts.
    windows: bool = False
    # Empty where the task has none.
    labels: tuple[str, ...] = ()
    # Beside the text, in the order in which they follow the pooled hidden states.
    fields: tuple[BusinessField, ...] = ()
    method: Method
    head: Head
    calibration: Calibration = Calibration()
    metrics: dict[str, float] = Field(default_factory=dict)
    lineage: Lineage
    golden: Golden
    # Missing where nothing was measured: then it is not allowed.
    int8: Int8 | None = None
    # Of classes; missing in bundles that were made before there was one.
    profile: Profile | None = None
    # Filled by the artifact store; whoever writes a bundle leaves it empty.
    files: dict[str, FileEntry] = Field(default_factory=dict)

    @property
    def features(self) -> int:
        """How many values the encoded business fields of a row are."""
        return sum(field.width for field in self.fields)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.task != self.head.kind:
            raise ValueError(f"task: is {self.task}, the head is for {self.head.kind}")
        self._check_labels()
        if len({field.name for field in self.fields}) != len(self.fields):
            raise ValueError("fields: two have one name")
        if self.fields and (isinstance(self.head, EntityHead | SpanHead) or self.head.kind == "embedding"):
            raise ValueError(f"fields: the task {self.task} has no use for them")
        if self.head.kind == "embedding" and self.head.own_module and not self.head.size:
            raise ValueError("head.own_module: needs a layer behind it")
        self._check_golden()
        return self

    def _check_labels(self) -> None:
        needed = getattr(self.head, "num_labels", 0)
        if len(self.labels) != needed or len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels: needs {needed} different names, one per output of the head")
        if isinstance(self.head, MultiLabelHead) and len(self.head.thresholds) not in (0, needed):
            raise ValueError(f"head.thresholds: needs none or {needed}, one per label")
        if self.profile and len(self.profile.labels) != len(self.labels):
            raise ValueError(f"profile.labels: needs {len(self.labels)} counts, one per label")
        costs = self.head.costs if isinstance(self.head, ClassificationHead) else ()
        if costs and {len(costs), *map(len, costs)} != {needed}:
            raise ValueError(f"head.costs: needs {needed} lines of {needed}: for each label, what each answer costs")
        if isinstance(self.head, EntityHead):
            for label in self.labels:
                if label != "O" and not label.startswith(("B-", "I-")):
                    raise ValueError(f"labels: {label!r} is not a tag: O, B-<type> or I-<type>")

    def _check_golden(self) -> None:
        golden, rows = self.golden, len(self.golden.input_ids)
        if len(golden.logits) != rows:
            raise ValueError("golden: needs one row of logits per row of input_ids")
        for name, parts in (("segment_starts", golden.segment_starts), ("features", golden.features)):
            if len(parts) not in (0, rows):
                raise ValueError(f"golden.{name}: needs none or one per row of input_ids")
        on_tokens = not isinstance(self.head, PooledHead)
        for ids, logits in zip(golden.input_ids, golden.logits, strict=True):
            expected = self.head.outputs * (len(ids) if on_tokens else 1)
            if len(logits) != expected:
                raise ValueError(f"golden.logits: every row needs {expected} values")
        if any(len(row) != self.features for row in golden.features) or (self.features and not golden.features):
            raise ValueError(f"golden.features: every row needs {self.features} values")
