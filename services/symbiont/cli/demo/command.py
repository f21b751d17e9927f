"""The `demo` command: on the suite that runs, or on one of its own that it stops at the end."""

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from symbiont.cli.console import make_console, print_error
from symbiont.cli.demo import report, steps, texts
from symbiont.cli.demo.load import serve_held_out
from symbiont.cli.demo.quality import baseline_accuracy
from symbiont.cli.target import DEFAULT_HOME_PATH, HomeOption, endpoints_of
from symbiont.cli.up import TritonOption, announce, line_printer, stop_signals
from symbiont.client import Client, Credentials
from symbiont.local.home import Home, RunRecord
from symbiont.local.stack import Stack


def demo(
    home: HomeOption = DEFAULT_HOME_PATH,
    triton: TritonOption = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the suite up at the end, until Ctrl-C.")] = False,
) -> None:
    """Trains two models on one base with real text, serves both, and measures them: three to six minutes.

    Uses the suite that runs on the home, else starts one and stops it at the end. A second run finds the work done.
    """
    console, place = make_console(), Home(home.absolute())
    started = time.monotonic()
    record = place.running()
    if record:
        console.print(f"using the suite that runs on {place.root}")
        good = _show(console, place, record, stays_up=True)
    else:
        with _own_stack(console, place, triton) as stack:
            good = _show(console, place, stack.record, stays_up=keep)
            console.print(f"[dim]{time.monotonic() - started:.0f} s in all[/]")
            if keep:
                console.print("the suite stays up; Ctrl-C stops it")
                with stop_signals() as stop:
                    stop.wait()
    if not good:
        print_error("a model is not above its baseline")
        raise typer.Exit(1)


@contextmanager
def _own_stack(console: Console, home: Home, triton: Path | None) -> Iterator[Stack]:
    # As Ctrl-C does, so that the processes are stopped in order.
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        with Stack(home, triton, line_printer(console) if not console.is_terminal else lambda status: None) as stack:
            announce(console, stack)
            with console.status("starting tokenization, training, Triton and inference"):
                stack.wait_ready()
            console.print(f"the suite is up on {home.root}")
            try:
                yield stack
            finally:
                console.print("stopping the suite")
    finally:
        signal.signal(signal.SIGTERM, before)


def _show(console: Console, home: Home, record: RunRecord, *, stays_up: bool) -> bool:
    """Runs the steps; returns whether both models are above their baselines."""
    endpoints, credentials = endpoints_of(record.addresses), Credentials.find(home.root)
    sets = texts.labelled_sets()
    with Client(endpoints, credentials=credentials) as client:
        client.wait_ready()
        _heading(console, 1, "Register the base model")
        steps.register_base(client, console)
        _heading(console, 2, "Upload two labelled sets of real text")
        uploaded = steps.upload_sets(client, console, sets, home.root / "demo")
        _heading(console, 3, "Train a LoRA bundle for each on the same frozen base")
        jobs = steps.train_all(client, console, uploaded)
        _heading(console, 4, "Promote both to production")
        for job in jobs:
            client.promote(job.model_version)
            console.print(f"  production -> {job.model_version}")
        versions = [client.get_model_version(job.model_version) for job in jobs]
    _heading(console, 5, "Serve the held-out rows of both in mixed batches")
    with console.status("asking"):
        served = asyncio.run(serve_held_out(endpoints, sets, credentials))
    report.print_samples(console, sets, served)
    _heading(console, 6, "Results")
    with console.status("training the baselines"):
        results = [report.result_of(labelled, served, baseline_accuracy(labelled)) for labelled in sets]
    report.print_results(console, results, served)
    _heading(console, 7, "Where to look next")
    report.print_next(console, home.root, record.metrics_urls, versions, stays_up)
    return all(result.above_baseline for result in results)


def _heading(console: Console, number: int, text: str) -> None:
    console.print(f"\n[bold cyan]{number}/7[/] [bold]{text}[/]")
