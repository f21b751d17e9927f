"""`symbiont train`: submits a training job, and watches it if asked."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from symbiont.cli.console import make_console
from symbiont.cli.jobs import watch_job
from symbiont.cli.target import with_client
from symbiont.client import Client, training_spec
from symbiont.client.names import short_name

_METHOD, _LOOP, _JUDGING = "Method", "Training loop", "Judging"


class Method(StrEnum):
    """What is trained beside the head."""

    LORA = "lora"
    HEAD_ONLY = "head-only"


def _option(panel: str, text: str, *names: str) -> Any:
    return typer.Option(*names, help=text, show_default=False, rich_help_panel=panel)


@with_client
def train(
    client: Client,
    model: Annotated[str, typer.Argument(help="Model that gets a new version; made if it does not exist.")],
    dataset: Annotated[str, typer.Option("--dataset", "-d", help="Rows to learn from.")],
    base: Annotated[str, typer.Option("--base", "-b", help="Base model to train on.")],
    evaluation_dataset: Annotated[str | None, _option(_JUDGING, "Dataset to judge by.")] = None,
    holdout_fraction: Annotated[
        float | None, _option(_JUDGING, "Share of the dataset kept apart to judge by (default: 0.2).")
    ] = None,
    method: Annotated[Method | None, _option(_METHOD, "What is trained beside the head (default: lora).")] = None,
    rank: Annotated[int | None, _option(_METHOD, "LoRA rank (default: 8).")] = None,
    alpha: Annotated[float | None, _option(_METHOD, "LoRA scale (default: twice the rank).")] = None,
    dropout: Annotated[float | None, _option(_METHOD, "LoRA dropout (default: 0.05).")] = None,
    target_modules: Annotated[
        list[str] | None,
        _option(_METHOD, "Linear layer to update; repeat for more (default: query, value).", "--target-module"),
    ] = None,
    labels: Annotated[
        list[str] | None, _option(_METHOD, "Label, in order; repeat (default: those of the dataset).", "--label")
    ] = None,
    epochs: Annotated[int | None, _option(_LOOP, "Passes over the rows (default: 3).")] = None,
    batch_size: Annotated[int | None, _option(_LOOP, "Rows a step (default: 16).")] = None,
    learning_rate: Annotated[float | None, _option(_LOOP, "Peak learning rate (default: 0.001).")] = None,
    weight_decay: Annotated[float | None, _option(_LOOP, "Weight decay (default: 0.01).")] = None,
    warmup_fraction: Annotated[float | None, _option(_LOOP, "Share of steps that warm up (default: 0.06).")] = None,
    max_gradient_norm: Annotated[float | None, _option(_LOOP, "Largest norm of the gradient (default: 1).")] = None,
    max_tokens: Annotated[int | None, _option(_LOOP, "Longest text in tokens (default: 256 or the base's).")] = None,
    seed: Annotated[int | None, _option(_LOOP, "Seed of everything random (default: 0).")] = None,
    checkpoint_interval: Annotated[int | None, _option(_LOOP, "Steps between checkpoints (default: 50).")] = None,
    request_id: Annotated[str, typer.Option(help="Your own id; sending it again returns the same job.")] = "",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show progress until it ends; Ctrl-C detaches.")] = False,
) -> None:
    """Fine-tunes a base model on a dataset: submits a job, prints its name.

    Example: symbiont train intents --dataset intents --base minilm --epochs 3 --watch
    """
    spec = training_spec(
        base_model=base,
        dataset=dataset,
        model=model,
        evaluation_dataset=evaluation_dataset,
        holdout_fraction=holdout_fraction,
        method=method.value if method else None,
        rank=rank,
        alpha=alpha,
        dropout=dropout,
        target_modules=target_modules,
        labels=labels,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        warmup_fraction=warmup_fraction,
        max_gradient_norm=max_gradient_norm,
        max_tokens=max_tokens,
        seed=seed,
        checkpoint_interval=checkpoint_interval,
    )
    job = client.create_training_job(spec, request_id=request_id or None)
    make_console().print(job.name)
    if watch:
        watch_job(client, job.name)
    else:
        make_console(stderr=True).print(f"[dim]follow it with[/] symbiont jobs watch {short_name(job.name)}")
