"""The `symbiont train` command that a spec is the outcome of."""

import shlex
from collections.abc import Iterator
from typing import Any

from symbiont.api.training.v1.training_job_pb2 import (
    CLASS_WEIGHTS_BALANCED,
    FUSION_GATED,
    PRECISION_BF16,
    THRESHOLDS_BEST_F1,
    BinaryCosts,
    CostMatrix,
    Replay,
    TrainingSpec,
)
from symbiont.client.names import short_name

# Fields whose option has another name; of repeated ones the option is repeated.
_OPTIONS = {"target_modules": "target-module", "labels": "label"}
_SWITCHES = {
    "keep_best": ("--keep-best", "--keep-last"),
    "evaluate_checkpoints": ("--evaluate-checkpoints", "--no-evaluate-checkpoints"),
    "always_answers": ("--always-answers", "--not-always-answers"),
    "rank_stabilized": ("--rank-stabilized", ""),
}
# Options without a value, by the field and what it says.
_MARKS = {
    ("class_weights", CLASS_WEIGHTS_BALANCED): "--balanced",
    ("precision", PRECISION_BF16): "--bf16",
    ("thresholds", THRESHOLDS_BEST_F1): "--tune-thresholds",
}


def train_command(spec: TrainingSpec) -> str:
    """Returns a command that submits a job with this spec, as a shell takes it."""
    words = ["symbiont", "train", short_name(spec.model), *_words(spec)]
    return " ".join(shlex.quote(word) for word in words if word)


def _words(spec: TrainingSpec) -> Iterator[str]:
    yield from ("--base", short_name(spec.base_model), "--dataset", short_name(spec.dataset))
    if spec.evaluation_dataset:
        yield from ("--evaluation-dataset", short_name(spec.evaluation_dataset))
    elif spec.holdout_fraction:
        yield from ("--holdout-fraction", repr(spec.holdout_fraction))
    if method := spec.WhichOneof("method"):
        yield from ("--method", method.replace("_", "-"), *_fields(getattr(spec, method)))
    if head := spec.WhichOneof("head"):
        yield from ("--head", head.replace("_", "-"), *_fields(getattr(spec, head), head))
    if spec.HasField("business_fields"):
        for name in spec.business_fields.names or ["all"]:
            yield from ("--field", name)
        if spec.business_fields.fusion:
            yield from ("--fusion", "gated" if spec.business_fields.fusion == FUSION_GATED else "concatenated")
    for width in spec.hidden_layers:
        yield from ("--hidden-layer", str(width))
    yield "--windows" if spec.windows else ""
    if spec.HasField("own_module"):
        yield from ("--module", spec.own_module.name)
        yield from ("--module-settings", spec.own_module.settings) if spec.own_module.settings else ()
    yield from _fields(spec.hyperparameters)
    if spec.HasField("ranks"):
        yield from ("--ranks", str(spec.ranks))
    if spec.start_from:
        yield from ("--start-from", short_name(spec.start_from))
    if spec.HasField("replay"):
        yield from _replay(spec.replay)
    yield "--allow-new-labels" if spec.allow_new_labels else ""
    yield "--accept-changed-labels" if spec.accept_changed_labels else ""


def _replay(replay: Replay) -> Iterator[str]:
    yield from ("--replay-dataset", short_name(replay.dataset)) if replay.dataset else ("--replay",)
    if amount := replay.WhichOneof("amount"):
        yield from (f"--replay-{amount}", repr(getattr(replay, amount)))


def _costs(costs: CostMatrix | BinaryCosts) -> Iterator[str]:
    if isinstance(costs, CostMatrix):
        for each in costs.costs:
            yield from ("--cost", f"{each.truth}:{each.answer}={each.cost!r}")
    else:
        yield from ("--positive-label", costs.positive_label)
        yield from ("--false-positive-cost", repr(costs.false_positive))
        yield from ("--false-negative-cost", repr(costs.false_negative))


def _fields(message: Any, head: str = "") -> Iterator[str]:
    """Yields the options of the fields that are set."""
    for field, value in message.ListFields():
        renamed = "embedding-size" if (head, field.name) == ("embedding", "size") else _OPTIONS.get(field.name)
        name = renamed or field.name
        if field.name in _SWITCHES:
            yield _SWITCHES[field.name][0 if value else 1]
        elif field.enum_type:
            yield _MARKS.get((field.name, value), "")
        elif isinstance(value, CostMatrix | BinaryCosts):
            yield from _costs(value)
        elif field.is_repeated:
            for one in value:
                yield from (f"--{name.replace('_', '-')}", str(one))
        else:
            yield from (f"--{name.replace('_', '-')}", repr(value) if isinstance(value, float) else str(value))
