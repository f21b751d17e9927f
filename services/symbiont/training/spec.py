"""What a training job is asked to do: the proto's fields with their ranges and defaults.

The models below have the proto's own field names and shape, so that an error's location is the path of the field that
the caller sent, and a spec travels to the worker as the JSON form of its proto.
"""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from symbiont.common.errors import InvalidArgument
from symbiont.training.costs import BinaryCosts, CostMatrix, Matrix, matrix_of
from symbiont.training.part import Finite, Message

# Of the adapters, and of all of a base.
LEARNING_RATE, FULL_LEARNING_RATE = 1e-3, 5e-5
_NAME = r"/[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"


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


class EmbeddingHead(Message):
    """A vector for each text; a `size` of 0 stands for the pooled hidden states themselves."""

    size: int | None = Field(None, ge=0, le=4096)
    temperature: Finite = Field(0.05, gt=0, le=1)


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

    epochs: int = Field(3, ge=1, le=1000)
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

    @property
    def peak_learning_rate(self) -> float:
        """That of a resolved spec, or what is usual for adapters."""
        return LEARNING_RATE if self.learning_rate is None else self.learning_rate

    @property
    def rows_per_step(self) -> int:
        """Rows that one step learns from."""
        return self.batch_size * self.accumulation_steps


# The fields of a spec of which one is set.
METHODS = ("head_only", "lora", "adalora", "houlsby", "prefix", "full", "bitfit")
HEADS = ("classification", "multi_label", "score", "entities", "spans", "embedding")


class TrainingSpec(Message):
    """What to train, on what, and how. Exactly one method and one evaluation are set; one head, once it is resolved."""

    base_model: str = Field(pattern="^bases" + _NAME)
    dataset: str = Field(pattern="^datasets" + _NAME)
    holdout_fraction: Finite | None = Field(None, gt=0, le=0.5)
    evaluation_dataset: str | None = Field(None, pattern="^datasets" + _NAME)
    model: str = Field(pattern="^models" + _NAME)
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
    hyperparameters: Hyperparameters = Hyperparameters()
    ranks: int = Field(1, ge=1, le=64)
    business_fields: BusinessFields | None = None
    hidden_layers: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field((), max_length=4)
    own_module: OwnModule | None = None

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        filled = dict(values)
        if not filled.keys() & set(METHODS):
            filled["lora"] = {}
        if "holdout_fraction" not in filled and "evaluation_dataset" not in filled:
            filled["holdout_fraction"] = 0.2
        return filled


def parse_spec(values: dict[str, Any], field: str) -> TrainingSpec:
    """Checks a spec given as the JSON form of its proto.

    Raises:
        InvalidArgument: names the first field at fault by its path under `field`, and lists the others.
    """
    try:
        return TrainingSpec.model_validate(values)
    except ValidationError as exc:
        problems = [(".".join([field, *map(str, e["loc"])]), explain(e)) for e in exc.errors()]
        (first, text), rest = problems[0], problems[1:]
        more = "".join(f"; {path}: {message}" for path, message in rest)
        raise InvalidArgument(first, text + more) from exc


def explain(error: Any) -> str:
    """Says what a pydantic error is, for a caller who knows nothing of pydantic."""
    pattern = str(error.get("ctx", {}).get("pattern", ""))
    if "/" in pattern:
        return f"{error['input']!r} is not a resource name of the form {pattern[1 : pattern.index('/')]}/{{id}}"
    text = str(error["msg"]).removeprefix("Value error, ")
    return text if error["type"] in ("missing", "value_error") else f"{error['input']!r}: {text[0].lower()}{text[1:]}"
