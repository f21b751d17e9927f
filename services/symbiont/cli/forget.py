"""`symbiont datasets forget`: a subject's rows, and what was made of them."""

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.table import Table

from symbiont.api.training.v1.erasure_pb2 import ErasedDataset, ForgetSubjectResponse
from symbiont.cli.console import make_console
from symbiont.cli.render import table
from symbiont.cli.target import with_client
from symbiont.client import Client
from symbiont.client.names import short_name

# Of more rows only the first are shown.
_MOST = 10


def add_command(app: typer.Typer) -> None:
    """Adds the command to `symbiont datasets`."""
    app.command()(forget)


@with_client
def forget(
    client: Client,
    subject: Annotated[str, typer.Argument(help="Whose rows: as it stands in the column of subjects.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; show what would be.")] = False,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Train versions again that serve, or are the newest of their model.")
    ] = False,
) -> None:
    """Erases a subject: its rows in every dataset, and the checkpoints of jobs that learnt them.

    Datasets keep their names and all other rows. Versions that learnt the rows serve on until they are replaced: what
    they have learnt cannot be taken out of them. They are marked, and --retrain queues jobs on the rows that are left.
    A call that broke off is finished by calling again.

    Example: symbiont datasets forget customer-4711 --dry-run
    """
    done = client.forget_subject(subject, dry_run=dry_run, retrain=retrain)
    console = make_console()
    if not done.datasets:
        console.print("nothing is stored of this subject")
    for part in _tables(done):
        console.print(part)
    if dry_run and done.datasets:
        console.print("nothing was changed: leave out --dry-run to erase", style="dim")
    elif any(version.aliases for version in done.model_versions):
        console.print("these versions serve on until you replace them: --retrain, then symbiont models promote")


def _tables(done: ForgetSubjectResponse) -> Iterator[Table | str]:
    if done.datasets:
        rows = ((_names(d), len(d.rows), _numbers(d), d.digest[:12], d.new_digest[:12]) for d in done.datasets)
        yield table(["DATASET", ">ROWS", "NUMBERS", "WAS", "IS"], rows)
    if done.model_versions:
        yield ""
        versions = (
            (short_name(v.name), ", ".join(v.aliases), v.bundle_digest[:12], v.base_digest[:12])
            for v in done.model_versions
        )
        yield table(["LEARNT BY", "ALIASES", "BUNDLE", "BASE OF ITS OWN"], versions)
    if done.base_models:
        yield ""
        yield table(["ADAPTED ON THEM", "DIGEST"], ((short_name(b.name), b.digest[:12]) for b in done.base_models))
    if done.training_jobs:
        yield ""
        saved = [checkpoint.training_job for checkpoint in done.checkpoints]
        yield table(["JOB", ">CHECKPOINTS"], ((short_name(job), saved.count(job)) for job in done.training_jobs))
    if done.retraining_jobs:
        yield ""
        yield table(["TRAINS AGAIN"], ((short_name(job),) for job in done.retraining_jobs))
    if done.not_retrained:
        yield ""
        refused = ((short_name(each.model_version), each.reason) for each in done.not_retrained)
        yield table(["NOT TRAINED AGAIN", "WHY"], refused)


def _names(dataset: ErasedDataset) -> str:
    return ", ".join(map(short_name, dataset.names)) or "(left behind)"


def _numbers(dataset: ErasedDataset) -> str:
    shown = ", ".join(map(str, dataset.rows[:_MOST]))
    return f"{shown}, …" if len(dataset.rows) > _MOST else shown
