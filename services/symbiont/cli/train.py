"""`symbiont train`: submits a training job, and watches it if asked."""

from typing import Annotated

import typer

from symbiont.api.training.v1.training_job_pb2 import TrainingSpec
from symbiont.cli.console import make_console
from symbiont.cli.jobs import watch_job
from symbiont.cli.spec import option, with_spec
from symbiont.cli.target import with_client
from symbiont.client import Client, job_budget
from symbiont.client.names import short_name

_TERMS = "Place and budget"


@with_client
@with_spec
def train(
    client: Client,
    spec: TrainingSpec,
    tenant: Annotated[str, option(_TERMS, "Whose job it is (default: default).")] = "",
    priority: Annotated[int, option(_TERMS, "Of jobs that wait the higher goes first, -100 to 100 (default: 0).")] = 0,
    max_minutes: Annotated[float | None, option(_TERMS, "Training time after which it ends at its best.")] = None,
    max_cost: Annotated[float | None, option(_TERMS, "Cost at which it ends at its best.")] = None,
    deadline_minutes: Annotated[float | None, option(_TERMS, "Time from now by which it ends, at its best.")] = None,
    request_id: Annotated[str, typer.Option(help="Your own id; sending it again returns the same job.")] = "",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show progress until it ends; Ctrl-C detaches.")] = False,
) -> None:
    """Fine-tunes a base model on a dataset: submits a job, prints its name.

    Example: symbiont train intents --dataset intents --base minilm --epochs 3 --watch
    """
    budget = job_budget(_seconds(max_minutes), max_cost, _seconds(deadline_minutes))
    job = client.create_training_job(
        spec, tenant=tenant, priority=priority, budget=budget, request_id=request_id or None
    )
    make_console().print(job.name)
    if watch:
        watch_job(client, job.name)
    else:
        make_console(stderr=True).print(f"[dim]follow it with[/] symbiont jobs watch {short_name(job.name)}")


def _seconds(minutes: float | None) -> float | None:
    return None if minutes is None else 60 * minutes
