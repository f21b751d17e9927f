"""The `symbiont train` command that a spec is the outcome of."""

import shlex
from collections.abc import Iterator
from typing import Any

from symbiont.api.training.v1.training_job_pb2 import CLASS_WEIGHTS_BALANCED, FUSION_GATED, TrainingSpec
from symbiont.client.names import short_name

# Fields whose option has another name; of repeated ones the option is repeated.
_OPTIONS = {"target_modules": "target-module", "labels": "label"}
_SWITCHES = {
    "keep_best": ("--keep-best", "--keep-last"),
    "evaluate_checkpoints": ("--evaluate-checkpoints", "--no-evaluate-checkpoints"),
    "always_answers": ("--always-answers", "--not-always-answers"),
    "rank_stabilized": ("--rank-stabilized", ""),
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
    yield from _fields(spec.hyperparameters)
    if spec.HasField("ranks"):
        yield from ("--ranks", str(spec.ranks))


def _fields(message: Any, head: str = "") -> Iterator[str]:
    """Yields the options of the fields that are set."""
    for field, value in message.ListFields():
        renamed = "embedding-size" if (head, field.name) == ("embedding", "size") else _OPTIONS.get(field.name)
        name = renamed or field.name
        if field.name in _SWITCHES:
            yield _SWITCHES[field.name][0 if value else 1]
        elif field.name == "class_weights":
            yield "--balanced" if value == CLASS_WEIGHTS_BALANCED else ""
        elif field.is_repeated:
            for one in value:
                yield from (f"--{name.replace('_', '-')}", str(one))
        else:
            yield from (f"--{name.replace('_', '-')}", repr(value) if isinstance(value, float) else str(value))
