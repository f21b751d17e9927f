"""A training spec by keyword arguments, for callers who would rather not nest messages."""

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Required, TypedDict, Unpack

from symbiont.api.training.v1.training_job_pb2 import (
    CLASS_WEIGHTS_BALANCED,
    CLASS_WEIGHTS_UNSPECIFIED,
    FUSION_CONCATENATED,
    FUSION_GATED,
    PRECISION_BF16,
    PRECISION_UNSPECIFIED,
    THRESHOLDS_BEST_F1,
    THRESHOLDS_UNSPECIFIED,
    Hyperparameters,
    TrainingSpec,
)
from symbiont.client.names import alias_name, full_name

Method = Literal["lora", "adalora", "houlsby", "bitfit", "prefix", "head-only", "full"]
Fusion = Literal["concatenated", "gated"]
Head = Literal["classification", "multi-label", "score", "entities", "spans", "embedding", "masked-tokens"]
# Field of the spec, and the options that say more: their names are those of the method's message.
_METHODS: dict[Method, tuple[str, tuple[str, ...]]] = {
    "lora": ("lora", ("rank", "alpha", "dropout", "target_modules", "rank_stabilized", "b_learning_rate_ratio")),
    "adalora": ("adalora", ("rank", "initial_rank", "alpha", "dropout", "target_modules", "orthogonality")),
    "houlsby": ("houlsby", ("size", "target_modules")),
    "bitfit": ("bitfit", ()),
    "prefix": ("prefix", ("virtual_tokens", "projection_size")),
    "head-only": ("head_only", ()),
    "full": ("full", ()),
}
_FUSIONS = {"concatenated": FUSION_CONCATENATED, "gated": FUSION_GATED}
# Options of each head, with the field of its message that each of them sets.
_HEADS: dict[Head, dict[str, str]] = {
    "classification": {
        "labels": "labels",
        "balanced": "class_weights",
        "focal_gamma": "focal_gamma",
        "label_smoothing": "label_smoothing",
        "costs": "cost_matrix",
        "positive_label": "binary_costs.positive_label",
        "false_positive_cost": "binary_costs.false_positive",
        "false_negative_cost": "binary_costs.false_negative",
    },
    "multi-label": {"labels": "labels", "balanced": "class_weights", "tune_thresholds": "thresholds"},
    "score": {"minimum": "minimum", "maximum": "maximum"},
    "entities": {"labels": "labels"},
    "spans": {"max_answer_tokens": "max_answer_tokens", "always_answers": "always_answers"},
    "embedding": {"embedding_size": "size", "temperature": "temperature"},
    "masked-tokens": {"mask_fraction": "mask_fraction", "whole_words": "whole_words", "tokenizer": "tokenizer"},
}


class TrainingOptions(TypedDict, total=False):
    """Keyword arguments of a training spec. What is left out, or None, gets the service's default.

    What is made is a version of `model`, or a `derived_base`: one of the two is given. Both, `base_model`, `dataset`,
    `evaluation_dataset`, `tokenizer` and `replay` take an id or a full resource name; `replay` also True, for the
    dataset of the version to start from. `start_from` takes `{model}/versions/{number}` or `{model}@{alias}`. `costs`
    are by (true label, answered label); those of two labels may be given by `positive_label` and the two errors
    instead. Meaning, range and default of each stand in `protos/symbiont/training/v1/training_job.proto`.
    """

    base_model: Required[str]
    dataset: Required[str]
    model: str
    derived_base: str
    evaluation_dataset: str | None
    holdout_fraction: float | None
    method: Method | None
    rank: int | None
    alpha: float | None
    dropout: float | None
    target_modules: Sequence[str] | None
    rank_stabilized: bool | None
    b_learning_rate_ratio: float | None
    initial_rank: int | None
    orthogonality: float | None
    size: int | None
    virtual_tokens: int | None
    projection_size: int | None
    head: Head | None
    labels: Sequence[str] | None
    balanced: bool | None
    focal_gamma: float | None
    label_smoothing: float | None
    costs: Mapping[tuple[str, str], float] | None
    positive_label: str | None
    false_positive_cost: float | None
    false_negative_cost: float | None
    tune_thresholds: bool | None
    minimum: float | None
    maximum: float | None
    max_answer_tokens: int | None
    always_answers: bool | None
    embedding_size: int | None
    temperature: float | None
    mask_fraction: float | None
    whole_words: bool | None
    tokenizer: str | None
    business_fields: Sequence[str] | Literal["all"] | None
    fusion: Fusion | None
    hidden_layers: Sequence[int] | None
    windows: bool | None
    own_module: str | None
    module_settings: Mapping[str, Any] | None
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
    patience: int | None
    selection_metric: str | None
    keep_best: bool | None
    bf16: bool | None
    ranks: int | None
    start_from: str | None
    replay: bool | str | None
    replay_fraction: float | None
    replay_rows: int | None
    allow_new_labels: bool | None
    accept_changed_labels: bool | None


def training_spec(**options: Unpack[TrainingOptions]) -> TrainingSpec:
    """Builds a training spec.

    Raises:
        ValueError: two options exclude each other, or nothing is to be made.
    """
    if ("model" in options) == ("derived_base" in options):
        raise ValueError("a job makes a version of a model, or a derived_base: name one of the two")
    spec = TrainingSpec(
        base_model=full_name("bases", options["base_model"]),
        dataset=full_name("datasets", options["dataset"]),
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
            patience=options.get("patience"),
            selection_metric=options.get("selection_metric") or "",
            keep_best=options.get("keep_best"),
            precision=PRECISION_BF16 if options.get("bf16") else PRECISION_UNSPECIFIED,
        ),
        ranks=options.get("ranks"),
        allow_new_labels=bool(options.get("allow_new_labels")),
        accept_changed_labels=bool(options.get("accept_changed_labels")),
    )
    if "model" in options:
        spec.model = full_name("models", options["model"])
    else:
        spec.derived_base = full_name("bases", options["derived_base"])
    _set_head(spec, options)
    _set_layers(spec, options)
    _set_evaluation(spec, options.get("holdout_fraction"), options.get("evaluation_dataset"))
    _set_method(spec, options)
    _set_start(spec, options)
    return spec


def _set_start(spec: TrainingSpec, options: TrainingOptions) -> None:
    start, replay = options.get("start_from"), options.get("replay")
    fraction, rows = options.get("replay_fraction"), options.get("replay_rows")
    if fraction is not None and rows is not None:
        raise ValueError("replay_fraction and replay_rows exclude each other")
    if start is not None:
        versioned = "/versions/" in start or "/aliases/" in start
        spec.start_from = full_name("models", start) if versioned else alias_name(start)
    if replay or fraction is not None or rows is not None:
        spec.replay.SetInParent()
    if isinstance(replay, str):
        spec.replay.dataset = full_name("datasets", replay)
    if fraction is not None:
        spec.replay.fraction = fraction
    if rows is not None:
        spec.replay.rows = rows


def _set_evaluation(spec: TrainingSpec, holdout_fraction: float | None, dataset: str | None) -> None:
    if holdout_fraction is not None and dataset is not None:
        raise ValueError("holdout_fraction and evaluation_dataset exclude each other")
    if holdout_fraction is not None:
        spec.holdout_fraction = holdout_fraction
    if dataset is not None:
        spec.evaluation_dataset = full_name("datasets", dataset)


def _set_head(spec: TrainingSpec, options: TrainingOptions) -> None:
    everything = {name for names in _HEADS.values() for name in names}
    given = {name: value for name, value in options.items() if name in everything and value not in (None, [], (), {})}
    usual: Head = "masked-tokens" if "derived_base" in options else "classification"
    head = options.get("head") or (usual if given else None)
    if head is None:
        return
    if head not in _HEADS:
        raise ValueError(f"there is no head {head!r}: {', '.join(_HEADS)}")
    names = _HEADS[head]
    if strange := sorted(given.keys() - set(names)):
        owners = " or ".join(name for name, own in _HEADS.items() if strange[0] in own)
        raise ValueError(f"{strange[0]} does not belong to the head {head}: say head={owners}")
    if "costs" in given and any(names[name].startswith("binary_costs") for name in given):
        raise ValueError("costs and those of a positive_label exclude each other")
    message = getattr(spec, head.replace("-", "_"))
    message.SetInParent()
    for name, value in given.items():
        _set_option(message, name, names[name], value)


def _set_option(message: Any, name: str, path: str, value: Any) -> None:
    match name:
        case "labels":
            message.labels.extend(value)
        case "balanced":
            message.class_weights = CLASS_WEIGHTS_BALANCED if value else CLASS_WEIGHTS_UNSPECIFIED
        case "tokenizer":
            message.tokenizer = full_name("tokenizers", str(value))
        case "tune_thresholds":
            message.thresholds = THRESHOLDS_BEST_F1 if value else THRESHOLDS_UNSPECIFIED
        case "costs":
            for (truth, answer), cost in value.items():
                message.cost_matrix.costs.add(truth=truth, answer=answer, cost=cost)
        case _:
            *outer, field = path.split(".")
            setattr(functools.reduce(getattr, outer, message), field, value)


def _set_layers(spec: TrainingSpec, options: TrainingOptions) -> None:
    fields, fusion = options.get("business_fields"), options.get("fusion")
    if fusion is not None and not fields:
        raise ValueError("fusion says how business_fields meet the text: name them, or say all")
    if isinstance(fields, str) and fields != "all":
        raise ValueError(f"business_fields is a list of names, or all: not the text {fields!r}")
    if fields:
        spec.business_fields.SetInParent()
        spec.business_fields.names.extend([] if fields == "all" else fields)
    if fusion is not None:
        if fusion not in _FUSIONS:
            raise ValueError(f"there is no fusion {fusion!r}: {', '.join(_FUSIONS)}")
        spec.business_fields.fusion = _FUSIONS[fusion]
    spec.hidden_layers.extend(options.get("hidden_layers") or ())
    spec.windows = options.get("windows") or False
    module, settings = options.get("own_module"), options.get("module_settings")
    if settings and not module:
        raise ValueError("module_settings are those of an own_module: name it")
    if module:
        spec.own_module.name, spec.own_module.settings = module, json.dumps(settings) if settings else ""


def _set_method(spec: TrainingSpec, options: TrainingOptions) -> None:
    everything = {name for _, names in _METHODS.values() for name in names}
    given = {name: value for name, value in options.items() if name in everything and value is not None}
    method = options.get("method") or ("lora" if given else None)
    if method is None:
        return
    if method not in _METHODS:
        raise ValueError(f"there is no method {method!r}: {', '.join(_METHODS)}")
    field, names = _METHODS[method]
    if strange := sorted(given.keys() - set(names)):
        takes = ", ".join(names) if names else "no options"
        raise ValueError(f"{strange[0]} does not belong to the method {method}, which takes {takes}")
    message = getattr(spec, field)
    message.SetInParent()
    for name, value in given.items():
        if name == "target_modules":
            message.target_modules.extend(value)
        else:
            setattr(message, name, value)
