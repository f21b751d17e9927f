"""What a training job is asked to do: the proto's fields with their ranges and defaults.

The models below have the proto's own field names and shape, so that an error's location is the path of the field that
the caller sent, and a spec travels to the worker as the JSON form of its proto.
"""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from symbiont.common.errors import InvalidArgument
from symbiont.common.resources import OWNED_ID
from symbiont.training.costs import BinaryCosts, CostMatrix, Matrix, matrix_of
from symbiont.training.part import Finite, Message

# Peaks, by method. What begins at nothing beside a frozen base wants steps as large as it bears; how they compare on
# real sets: tests/benchmarks/README.md. Of all of a base those that large ones still bear.
LEARNING_RATES = {
    "head_only": 1e-2,
    "lora": 1e-3,
    "adalora": 5e-3,
    "houlsby": 2e-3,
    "prefix": 1e-2,
    "full": 5e-5,
    "bitfit": 1e-3,
}
# Share of an earlier dataset that is learnt again.
REPLAYED = 0.2
_ID = r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?"
_NAME = rf"/{OWNED_ID}$"
_VERSION = rf"^models/{OWNED_ID}/(versions/[1-9][0-9]{{0,9}}|aliases/{_ID})$"
# Methods that leave a whole base behind, or an update that can be added to its weights.
MAKE_BASES = ("full", "lora")


class HeadOnlyMethod(Message):
    """Trains the head on the frozen base, without an adapter."""


class FullMethod(Message):
    """Trains all of the base."""


class BitFitMethod(Message):
    """BitFit (Ben Zaken et al. 2021, arXiv 2106.10199)."""


class LoraMethod(Message):
    """LoRA (Hu et al. 2021, arXiv 2106.09685)."""

    rank: int = Field(8, ge=1, le=256)
    alpha: Finite | None = Field(None, gt=0)
    dropout: Finite = Field(0.05, ge=0, lt=1)
    target_modules: tuple[str, ...] = ()
    rank_stabilized: bool = False
    b_learning_rate_ratio: Finite = Field(1.0, ge=1, le=100)


class AdaLoraMethod(Message):
    """AdaLoRA (Zhang et al. 2023, arXiv 2303.10512)."""

    rank: int = Field(8, ge=1, le=256)
    initial_rank: int | None = Field(None, ge=1, le=512)
    alpha: Finite | None = Field(None, gt=0)
    dropout: Finite = Field(0.05, ge=0, lt=1)
    target_modules: tuple[str, ...] = ()
    orthogonality: Finite = Field(0.1, ge=0, le=10)

    @model_validator(mode="after")
    def _ranks_fall(self) -> Self:
        if self.initial_rank is not None and self.initial_rank < self.rank:
            raise ValueError(f"initial_rank {self.initial_rank} is below the rank {self.rank} that is to be left")
        return self


class HoulsbyMethod(Message):
    """Adapters (Houlsby et al. 2019, arXiv 1902.00751)."""

    size: int = Field(32, ge=1, le=1024)
    target_modules: tuple[str, ...] = ()


class PrefixMethod(Message):
    """Prefix tuning (Li and Liang 2021, arXiv 2101.00190)."""

    virtual_tokens: int = Field(16, ge=1, le=256)
    projection_size: int | None = Field(None, ge=1, le=4096)


class _Labelled(Message):
    labels: tuple[Annotated[str, Field(min_length=1)], ...] = ()

    @model_validator(mode="after")
    def _labels_differ(self) -> Self:
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("a label is given twice")
        return self


ClassWeights = Literal["CLASS_WEIGHTS_UNSPECIFIED", "CLASS_WEIGHTS_BALANCED"]


class ClassificationHead(_Labelled):
    """One class out of several."""

    class_weights: ClassWeights = "CLASS_WEIGHTS_UNSPECIFIED"
    focal_gamma: Finite = Field(0.0, ge=0, le=10)
    label_smoothing: Finite = Field(0.0, ge=0, lt=1)
    cost_matrix: CostMatrix | None = None
    binary_costs: BinaryCosts | None = None

    @property
    def costs(self) -> Matrix:
        """What answers cost, [true][answered] in the order of the labels, once these are known; empty for no costs."""
        return matrix_of(self.cost_matrix or self.binary_costs, self.labels)

    @model_validator(mode="after")
    def _labels_to_choose(self) -> Self:
        if len(self.labels) == 1:
            raise ValueError("one label leaves nothing to choose: give at least two, or none")
        return self


class MultiLabelHead(_Labelled):
    """Labels that each hold or not."""

    class_weights: ClassWeights = "CLASS_WEIGHTS_UNSPECIFIED"
    thresholds: Literal["THRESHOLDS_UNSPECIFIED", "THRESHOLDS_BEST_F1"] = "THRESHOLDS_UNSPECIFIED"


class ScoreHead(Message):
    """A number; between two limits, or without any."""

    minimum: Finite | None = None
    maximum: Finite | None = None

    @model_validator(mode="after")
    def _limits_are_two(self) -> Self:
        if (self.minimum is None) != (self.maximum is None):
            raise ValueError("minimum and maximum go together: give both, or none")
        if self.minimum is not None and self.maximum is not None and self.minimum >= self.maximum:
            raise ValueError(f"maximum {self.maximum:g} is not above minimum {self.minimum:g}")
        return self


class EntitiesHead(_Labelled):
    """Named parts of a text; `labels` are the names."""


class SpansHead(Message):
    """The answer to a question as a part of its context."""

    max_answer_tokens: int = Field(30, ge=1, le=512)
    always_answers: bool | None = None


class EmbeddingHead(Message):
    """A vector for each text; a `size` of 0 stands for the pooled hidden states themselves."""

    size: int | None = Field(None, ge=0, le=4096)
    temperature: Finite = Field(0.05, gt=0, le=1)


class MaskedTokensHead(Message):
    """Tokens that are hidden from a base; `tokenizer` is that of the base that is made, else the base's own."""

    mask_fraction: Finite = Field(0.15, gt=0, le=0.5)
    whole_words: bool = False
    tokenizer: str | None = Field(None, pattern=r"^tokenizers/([0-9a-f]{64}|[a-z]([a-z0-9-]{0,61}[a-z0-9])?)$")


class BusinessFields(Message):
    """Business fields beside the text."""

    names: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    fusion: Literal["FUSION_UNSPECIFIED", "FUSION_CONCATENATED", "FUSION_GATED"] = "FUSION_UNSPECIFIED"
    # Filled in from the dataset, in the order of the names; what a caller says is not read.
    kinds: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if len(set(self.names)) < len(self.names):
            raise ValueError("a name is given twice")
        return self


class OwnModule(Message):
    """A customer's own layers, with their settings as a JSON object."""

    name: str = Field(min_length=1, max_length=200)
    settings: str = Field("", max_length=1 << 16)

    @field_validator("settings")
    @classmethod
    def _is_an_object(cls, text: str) -> str:
        try:
            read = json.loads(text or "{}")
        except ValueError as exc:
            raise ValueError(f"it is no JSON: {exc}") from exc
        if not isinstance(read, dict):
            raise ValueError('it is no JSON object, as {"size": 16}')
        return text


class Hyperparameters(Message):
    """Settings of the training loop."""

    epochs: int = Field(3, ge=0, le=1000)
    batch_size: int = Field(16, ge=1, le=4096)
    learning_rate: Finite | None = Field(None, gt=0, le=1)
    weight_decay: Finite = Field(0.01, ge=0, le=1)
    warmup_fraction: Finite = Field(0.06, ge=0, le=1)
    max_gradient_norm: Finite = Field(1.0, gt=0)
    max_tokens: int | None = Field(None, ge=8)
    seed: int = Field(0, ge=0, le=2**32 - 1)
    checkpoint_interval: int = Field(50, ge=1, le=1_000_000)
    accumulation_steps: int = Field(1, ge=1, le=1024)
    evaluate_checkpoints: bool | None = None
    patience: int | None = Field(None, ge=1, le=1000)
    selection_metric: str = ""
    keep_best: bool | None = None
    precision: Literal["PRECISION_UNSPECIFIED", "PRECISION_FP32", "PRECISION_BF16"] = "PRECISION_UNSPECIFIED"

    @property
    def peak_learning_rate(self) -> float:
        """That of a resolved spec, or what is usual for LoRA."""
        return LEARNING_RATES["lora"] if self.learning_rate is None else self.learning_rate

    @property
    def rows_per_step(self) -> int:
        """Rows that one step learns from."""
        return self.batch_size * self.accumulation_steps


class Replay(Message):
    """Rows of an earlier dataset that are learnt again."""

    dataset: str | None = Field(None, pattern="^datasets" + _NAME)
    fraction: Finite | None = Field(None, gt=0, le=1)
    rows: int | None = Field(None, ge=1, le=10_000_000)

    @property
    def share(self) -> float:
        """That which is meant where no number of rows is."""
        return REPLAYED if self.fraction is None else self.fraction


# The fields of a spec of which one is set.
METHODS = tuple(LEARNING_RATES)
HEADS = ("classification", "multi_label", "score", "entities", "spans", "embedding", "masked_tokens")


class TrainingSpec(Message):
    """What to train, on what, and how. Exactly one method and one evaluation are set; one head, once it is resolved."""

    base_model: str = Field(pattern=rf"^bases/{_ID}$")
    dataset: str = Field(pattern="^datasets" + _NAME)
    holdout_fraction: Finite | None = Field(None, gt=0, le=0.5)
    evaluation_dataset: str | None = Field(None, pattern="^datasets" + _NAME)
    model: str | None = Field(None, pattern="^models" + _NAME)
    head_only: HeadOnlyMethod | None = None
    lora: LoraMethod | None = None
    adalora: AdaLoraMethod | None = None
    houlsby: HoulsbyMethod | None = None
    prefix: PrefixMethod | None = None
    full: FullMethod | None = None
    bitfit: BitFitMethod | None = None
    classification: ClassificationHead | None = None
    multi_label: MultiLabelHead | None = None
    score: ScoreHead | None = None
    entities: EntitiesHead | None = None
    spans: SpansHead | None = None
    embedding: EmbeddingHead | None = None
    masked_tokens: MaskedTokensHead | None = None
    hyperparameters: Hyperparameters = Hyperparameters()
    ranks: int = Field(1, ge=1, le=64)
    business_fields: BusinessFields | None = None
    hidden_layers: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field((), max_length=4)
    windows: bool = False
    own_module: OwnModule | None = None
    start_from: str | None = Field(None, pattern=_VERSION)
    replay: Replay | None = None
    allow_new_labels: bool = False
    accept_changed_labels: bool = False
    derived_base: str | None = Field(None, pattern=rf"^bases/{_ID}$")

    @property
    def method(self) -> str:
        """The name of the method that is chosen."""
        return next(name for name in METHODS if getattr(self, name) is not None)

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        filled = dict(values)
        makes_base = filled.get("derived_base") is not None
        # What a job starts from says what is trained.
        if not filled.keys() & set(METHODS) and not filled.get("start_from"):
            filled["full" if makes_base else "lora"] = {}
        if makes_base and not filled.keys() & set(HEADS):
            filled["masked_tokens"] = {}
        if "holdout_fraction" not in filled and "evaluation_dataset" not in filled:
            filled["holdout_fraction"] = 0.2
        return filled

    @model_validator(mode="after")
    def _goes_with_a_start(self) -> Self:
        alone = [name for name in ("replay", "allow_new_labels", "accept_changed_labels") if getattr(self, name)]
        if alone and not self.start_from:
            raise ValueError(f"{alone[0]} goes with start_from: name the version to train on from")
        return self

    @property
    def output(self) -> str:
        """Name of the model that gets a version, or of the base that is made."""
        return self.model or self.derived_base or ""


def parse_spec(values: dict[str, Any], field: str) -> TrainingSpec:
    """Checks a spec given as the JSON form of its proto.

    Raises:
        InvalidArgument: names the first field at fault by its path under `field`, and lists the others.
    """
    try:
        spec = TrainingSpec.model_validate(values)
    except ValidationError as exc:
        problems = [(".".join([field, *map(str, e["loc"])]), explain(e)) for e in exc.errors()]
        (first, text), rest = problems[0], problems[1:]
        more = "".join(f"; {path}: {message}" for path, message in rest)
        raise InvalidArgument(first, text + more) from exc
    if fault := _contradiction(spec):
        raise InvalidArgument(f"{field}.{fault[0]}", fault[1])
    return spec


def _contradiction(spec: TrainingSpec) -> tuple[str, str] | None:
    """Returns the first field of a spec that does not go with what the job is to make, and why."""
    trains_base = spec.masked_tokens is not None
    if spec.model and spec.derived_base:
        return "derived_base", "a job makes a version of a model, or a base: leave one of the two out"
    if not spec.output:
        wanted = "derived_base" if trains_base else "model"
        return wanted, f"Field required: the name of the {'base' if trains_base else 'model'} that the job makes"
    if trains_base and spec.model:
        return "model", "what learns from masked tokens is a base: name it as derived_base, in place of a model"
    if spec.derived_base and not trains_base:
        head = next(name for name in HEADS if getattr(spec, name) is not None)
        return head, "a base learns from masked tokens alone: leave it out, or name a model in place of derived_base"
    if trains_base and spec.start_from:
        return "start_from", "it is for versions of models: name the base to train on as base_model"
    if trains_base and spec.method not in MAKE_BASES:
        return spec.method, f"it leaves the base as it is: a base is made by {' or '.join(MAKE_BASES)}"
    if not spec.hyperparameters.epochs and not (spec.masked_tokens and spec.masked_tokens.tokenizer):
        return "hyperparameters.epochs", "0 is for masked_tokens with a tokenizer alone: else nothing would come of it"
    return None


def explain(error: Any) -> str:
    """Says what a pydantic error is, for a caller who knows nothing of pydantic."""
    if error["loc"] and error["loc"][-1] == "start_from":
        return f"{error['input']!r} is neither models/{{id}}/versions/{{number}} nor models/{{id}}/aliases/{{id}}"
    pattern = str(error.get("ctx", {}).get("pattern", ""))
    if "/" in pattern:
        return f"{error['input']!r} is not a resource name of the form {pattern[1 : pattern.index('/')]}/{{id}}"
    text = str(error["msg"]).removeprefix("Value error, ")
    return text if error["type"] in ("missing", "value_error") else f"{error['input']!r}: {text[0].lower()}{text[1:]}"
