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
Tenant = Annotated[str, option(_TERMS, "Whose job it is (default: default).")]
Priority = Annotated[int, option(_TERMS, "Of jobs that wait the higher goes first, -100 to 100 (default: 0).")]
MaxMinutes = Annotated[float | None, option(_TERMS, "Training time after which it ends at its best.")]
MaxCost = Annotated[float | None, option(_TERMS, "Cost at which it ends at its best.")]
DeadlineMinutes = Annotated[float | None, option(_TERMS, "Time from now by which it ends, at its best.")]
RequestId = Annotated[str, typer.Option(help="Your own id; sending it again returns the same job.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Show progress until it ends; Ctrl-C detaches.")]


@with_client
@with_spec
def train(
    client: Client,
    spec: TrainingSpec,
    tenant: Tenant = "",
    priority: Priority = 0,
    max_minutes: MaxMinutes = None,
    max_cost: MaxCost = None,
    deadline_minutes: DeadlineMinutes = None,
    request_id: RequestId = "",
    watch: Watch = False,
) -> None:
    """Fine-tunes a base model on a dataset: submits a job, prints its name.

    Example: symbiont train intents --dataset intents --base minilm --epochs 3 --watch
    """
    submit(client, spec, tenant, priority, (max_minutes, max_cost, deadline_minutes), request_id, watch=watch)


def submit(
    client: Client,
    spec: TrainingSpec,
    tenant: str,
    priority: int,
    limits: tuple[float | None, float | None, float | None],
    request_id: str,
    *,
    watch: bool,
) -> None:
    """Submits a job; `limits` are minutes of training, cost, and minutes from now."""
    minutes, cost, deadline = limits
    job = client.create_training_job(
        spec,
        tenant=tenant,
        priority=priority,
        budget=job_budget(_seconds(minutes), cost, _seconds(deadline)),
        request_id=request_id or None,
    )
    make_console().print(job.name)
    if watch:
        watch_job(client, job.name)
    else:
        make_console(stderr=True).print(f"[dim]follow it with[/] symbiont jobs watch {short_name(job.name)}")


def _seconds(minutes: float | None) -> float | None:
    return None if minutes is None else 60 * minutes
