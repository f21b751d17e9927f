"""The trials of a study: what each trains, and the ids by which a study that is begun again knows its jobs."""

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from symbiont.api.training.v1.dataset_pb2 import Dataset
from symbiont.api.training.v1.training_job_pb2 import TrainingSpec

# The usual order of cost: the head alone computes each row's base once, adapters go back through it, all of it is last.
METHODS = ("head_only", "lora", "houlsby", "adalora", "full")
ALL_METHODS = ("head_only", "bitfit", "lora", "houlsby", "adalora", "prefix", "full")
# So many checkpoints make a curve, and so many without a better one end a trial.
CHECKPOINTS = 12
PATIENCE = 3
_DEFAULT_HOLDOUT = 0.2
_DEFAULT_BATCH, _DEFAULT_EPOCHS = 16, 3
_STUDY = re.compile(r"[a-z][a-z0-9-]{0,62}")


@dataclass(frozen=True)
class Trial:
    """A job of a study: its name within the study, what it trains, and its request id."""

    name: str
    spec: TrainingSpec
    request_id: str


def check_study(name: str) -> str:
    """Returns the name of a study; ValueError for one that cannot begin the ids of its jobs."""
    if not _STUDY.fullmatch(name):
        raise ValueError(f"--study {name!r}: say 1 to 63 of a-z0-9-, beginning with a letter")
    return name


def trial_of(study: str, name: str, spec: TrainingSpec) -> Trial:
    """Returns a trial whose request id follows from the study, its name and all that it trains."""
    digest = hashlib.sha256(spec.SerializeToString(deterministic=True)).hexdigest()
    return Trial(name, spec, f"{study}/{name}-{digest[:12]}")


def rung(spec: TrainingSpec, method: str, seed: int | None = None) -> TrainingSpec:
    """Returns a spec with this method, as it is set in `spec` if it is that one, and with this seed."""
    made = TrainingSpec()
    made.CopyFrom(spec)
    if spec.WhichOneof("method") != method:
        getattr(made, method).SetInParent()
    if seed is not None:
        made.hyperparameters.seed = seed
    return made


def raced(spec: TrainingSpec, dataset: Dataset) -> TrainingSpec:
    """Returns a spec whose checkpoints are judged by what says most, and which ends early at its best.

    What the spec says of that itself stays. There are about twelve checkpoints, at the same shares of every training.
    """
    made = TrainingSpec()
    made.CopyFrom(spec)
    hyper = made.hyperparameters
    hyper.evaluate_checkpoints = True
    hyper.selection_metric = hyper.selection_metric or "primary"
    if not hyper.HasField("patience"):
        hyper.patience = PATIENCE
    if not hyper.HasField("keep_best"):
        hyper.keep_best = True
    if not hyper.HasField("checkpoint_interval"):
        hyper.checkpoint_interval = max(steps_of(made, dataset.row_count) // CHECKPOINTS, 1)
    return made


def steps_of(spec: TrainingSpec, rows: int) -> int:
    """Returns about how many steps a spec takes on a dataset of so many rows."""
    hyper = spec.hyperparameters
    held = 0.0 if spec.evaluation_dataset else (spec.holdout_fraction or _DEFAULT_HOLDOUT)
    rows_per_step = (hyper.batch_size or _DEFAULT_BATCH) * (hyper.accumulation_steps or 1)
    return math.ceil(rows * (1 - held) / rows_per_step) * (hyper.epochs or _DEFAULT_EPOCHS)


def word(method: str) -> str:
    """Returns a method as people say it: `head-only`."""
    return method.replace("_", "-")


def methods_of(words: Sequence[str]) -> list[str]:
    """Returns methods by their words, each once, in the usual order of cost.

    Raises:
        ValueError: there is no such method.
    """
    asked = [one.replace("-", "_") for one in words] or list(METHODS)
    if unknown := [one for one in asked if one not in ALL_METHODS]:
        raise ValueError(f"there is no method {word(unknown[0])!r}: {', '.join(map(word, ALL_METHODS))}")
    return [method for method in ALL_METHODS if method in asked]
