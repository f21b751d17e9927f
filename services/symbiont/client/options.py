"""A training spec by keyword arguments, for callers who would rather not nest messages."""

from collections.abc import Sequence
from typing import Literal, Required, TypedDict, Unpack

from symbiont.api.training.v1.training_job_pb2 import Hyperparameters, LoraMethod, TrainingSpec
from symbiont.client.names import full_name

Method = Literal["lora", "head-only"]


class TrainingOptions(TypedDict, total=False):
    """Keyword arguments of a training spec. What is left out, or None, gets the service's default.

    `base_model`, `dataset`, `evaluation_dataset` and `model` take an id or a full resource name. The meaning, range
    and default of each stand in `protos/symbiont/training/v1/training_job.proto`.
    """

    base_model: Required[str]
    dataset: Required[str]
    model: Required[str]
    evaluation_dataset: str | None
    holdout_fraction: float | None
    method: Method | None
    rank: int | None
    alpha: float | None
    dropout: float | None
    target_modules: Sequence[str] | None
    labels: Sequence[str] | None
    epochs: int | None
    batch_size: int | None
    learning_rate: float | None
    weight_decay: float | None
    warmup_fraction: float | None
    max_gradient_norm: float | None
    max_tokens: int | None
    seed: int | None
    checkpoint_interval: int | None
    accumulation_steps: int | None
    evaluate_checkpoints: bool | None
    ranks: int | None


def training_spec(**options: Unpack[TrainingOptions]) -> TrainingSpec:
    """Builds a training spec.

    Raises:
        ValueError: two options exclude each other.
    """
    spec = TrainingSpec(
        base_model=full_name("bases", options["base_model"]),
        dataset=full_name("datasets", options["dataset"]),
        model=full_name("models", options["model"]),
        hyperparameters=Hyperparameters(
            epochs=options.get("epochs"),
            batch_size=options.get("batch_size"),
            learning_rate=options.get("learning_rate"),
            weight_decay=options.get("weight_decay"),
            warmup_fraction=options.get("warmup_fraction"),
            max_gradient_norm=options.get("max_gradient_norm"),
            max_tokens=options.get("max_tokens"),
            seed=options.get("seed"),
            checkpoint_interval=options.get("checkpoint_interval"),
            accumulation_steps=options.get("accumulation_steps"),
            evaluate_checkpoints=options.get("evaluate_checkpoints"),
        ),
        ranks=options.get("ranks"),
    )
    if labels := options.get("labels"):
        spec.classification.labels.extend(labels)
    _set_evaluation(spec, options.get("holdout_fraction"), options.get("evaluation_dataset"))
    _set_method(spec, options)
    return spec


def _set_evaluation(spec: TrainingSpec, holdout_fraction: float | None, dataset: str | None) -> None:
    if holdout_fraction is not None and dataset is not None:
        raise ValueError("holdout_fraction and evaluation_dataset exclude each other")
    if holdout_fraction is not None:
        spec.holdout_fraction = holdout_fraction
    if dataset is not None:
        spec.evaluation_dataset = full_name("datasets", dataset)


def _set_method(spec: TrainingSpec, options: TrainingOptions) -> None:
    lora = LoraMethod(
        rank=options.get("rank"),
        alpha=options.get("alpha"),
        dropout=options.get("dropout"),
        target_modules=options.get("target_modules") or (),
    )
    method = options.get("method")
    if method not in (None, "lora", "head-only"):
        raise ValueError(f"there is no method {method!r}: lora or head-only")
    if method == "head-only":
        if lora != LoraMethod():
            raise ValueError("rank, alpha, dropout and target_modules belong to the method lora, not to head-only")
        spec.head_only.SetInParent()
    elif method == "lora" or lora != LoraMethod():
        spec.lora.CopyFrom(lora)
