"""What training needs: the base, with a domain's terms as tokens, and the datasets as the data gate leaves them."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from symbiont.api.training.v1 import dataset_pb2 as pb
from symbiont.api.training.v1.base_model_pb2 import BaseModel
from symbiont.api.training.v1.training_job_pb2 import JOB_STATE_SUCCEEDED, TrainingJob, TrainingSpec
from symbiont.client import Client, NotFoundError, training_spec
from symbiont.client.names import full_name
from symbiont.client.requests import DatasetColumns
from symbiont.client.watching import has_ended
from symbiont.solutions.recipe import Recipe
from symbiont.solutions.recipe_rows import DataGate
from symbiont.solutions.rows import SolutionRow, write

# Told what is being done.
Say = Callable[[str], None]
_ID_DIGITS = 8
# Between two words on how far a training is.
_PROGRESS_SECONDS = 20.0


class JobFailedError(Exception):
    """A job of a solution did not succeed."""


@dataclass(frozen=True)
class Datasets:
    """The datasets of a run; `train` is what the gate has left, of `uploaded` rows."""

    train: pb.Dataset
    test: pb.Dataset
    uploaded: int


def short_digest(*parts: Any) -> str:
    """Returns digits that stand for values: other values get another id."""
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_ID_DIGITS]


def ensure_base(client: Client, recipe: Recipe, say: Say) -> BaseModel:
    """Returns the base of a recipe, registered if it was not."""
    base = recipe.base
    try:
        return client.get_base_model(base.id)
    except NotFoundError:
        if not base.package and not base.folder:
            raise
        say(f"registering {base.id} from {base.package or base.folder}")
        return client.register_base_model(
            base.id, package=base.package or None, folder=base.folder or None, license=base.license
        )


def with_terms(client: Client, recipe: Recipe, base: BaseModel, dataset: str, say: Say) -> str:
    """Returns the id of the base to train on: with terms, another one whose tokenizer has them as tokens."""
    terms = recipe.development.terms
    if not terms:
        return recipe.base.id
    named = f"{recipe.base.id}-{short_digest(base.digest, terms)}"
    say(f"making {named}: {recipe.base.id} with {len(terms)} terms of the domain")
    made = client.derive_tokenizer(base.tokenizer_digest, list(terms), tokenizer_id=named)
    spec = training_spec(
        base_model=recipe.base.id,
        dataset=dataset,
        derived_base=named,
        tokenizer=made.tokenizer.name.rpartition("/")[2],
        epochs=0,
    )
    follow(client, submit(client, spec, named), say)
    return named


def upload(
    client: Client,
    recipe: Recipe,
    columns: DatasetColumns,
    sides: "tuple[Sequence[SolutionRow], Sequence[SolutionRow]]",
    folder: Path,
    say: Say,
) -> Datasets:
    """Uploads both sides and has the data gate prepare the rows to learn from; finds what is there already."""
    train, test = (
        _uploaded(client, f"{recipe.model}-{name}", rows, columns, folder)
        for name, rows in zip(("raw", "test"), sides, strict=True)
    )
    say(f"{train.row_count} rows to learn from, {test.row_count} to judge by, {len(train.label_counts)} labels")
    transforms = transforms_of(recipe.gate, test.name)
    if not transforms:
        return Datasets(train, test, train.row_count)
    digest = short_digest(
        train.digest, test.digest, [one.SerializeToString(deterministic=True).hex() for one in transforms]
    )
    prepared = client.prepare_dataset(train.name, f"{recipe.model}-train-{digest}", transforms)
    say(f"the gate left {prepared.row_count} of {train.row_count} rows")
    return Datasets(prepared, test, train.row_count)


def _uploaded(
    client: Client, prefix: str, rows: Sequence[SolutionRow], columns: DatasetColumns, folder: Path
) -> pb.Dataset:
    path = write(rows, folder / f"{prefix}.jsonl")
    # A dataset never changes: other rows get another id.
    digest = hashlib.sha256(path.read_bytes() + repr(sorted(columns.items())).encode()).hexdigest()
    return client.create_dataset(f"{prefix}-{digest[:_ID_DIGITS]}", path, **columns)


def transforms_of(gate: DataGate, test: str) -> list[pb.Transform]:
    """Returns what the data gate does to the rows to learn from, in order."""
    made: list[pb.Transform] = []
    if gate.clean:
        made.append(pb.Transform(clean=pb.CleanTransform(unicode_form=pb.UNICODE_FORM_NFC, min_characters=1)))
    if gate.deduplicate is not None:
        near = pb.DeduplicateTransform(near_threshold=gate.deduplicate, against=full_name("datasets", test))
        made.append(pb.Transform(deduplicate=near))
    if gate.anonymize:
        kinds = [pb.PiiKind.Value(f"PII_KIND_{kind.upper().replace('-', '_')}") for kind in gate.anonymize]
        anonymize = pb.AnonymizeTransform(kinds=kinds)
        anonymize.mask.SetInParent()
        made.append(pb.Transform(anonymize=anonymize))
    if gate.drop_suspects:
        made.append(pb.Transform(drop_suspects=pb.DropSuspectsTransform(max_fraction=gate.drop_suspects)))
    if gate.balance != "none":
        sampling = pb.SamplingMode.Value(f"SAMPLING_MODE_{gate.balance.upper()}")
        made.append(pb.Transform(balance=pb.BalanceTransform(sampling=sampling, max_ratio=1.0)))
    return made


def submit(client: Client, spec: TrainingSpec, name: str) -> TrainingJob:
    """Returns the job of a spec; that of an earlier run, unless that failed, for its id follows from the spec."""
    digest = hashlib.sha256(spec.SerializeToString(deterministic=True)).hexdigest()[:32]
    for attempt in range(1, 100):
        job = client.create_training_job(spec, request_id=f"{name}-{digest}-{attempt}")
        if job.state == JOB_STATE_SUCCEEDED or not has_ended(job.state):
            return job
    raise JobFailedError(f"{name}: a hundred attempts have failed; see symbiont jobs list")


def follow(client: Client, job: TrainingJob, say: Say) -> TrainingJob:
    """Follows a job to its end; returns it.

    Raises:
        JobFailedError: it did not succeed.
    """
    say(
        f"{job.name} was trained before"
        if has_ended(job.state)
        else f"{job.name} trains; symbiont jobs watch shows more"
    )
    told = time.monotonic()
    for event in client.watch_training_job(job.name):
        kind = event.WhichOneof("event")
        if kind == "warning":
            say(f"{job.name}: {event.warning.text}")
        elif kind == "progress" and time.monotonic() - told > _PROGRESS_SECONDS:
            told, made = time.monotonic(), event.progress
            say(f"step {made.step} of {made.total_steps}, {timedelta(seconds=made.eta.seconds)} to go")
    done = client.get_training_job(job.name)
    if done.state != JOB_STATE_SUCCEEDED:
        raise JobFailedError(f"{done.name} did not succeed: {done.failure.message or 'it was cancelled'}")
    return done
