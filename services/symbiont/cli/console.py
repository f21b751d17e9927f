"""What the command prints with, and how it says that something failed."""

import sys

import grpc
from rich.console import Console
from rich.markup import escape

from symbiont.client import RequestError

# Piped output is for programs and logs: wide enough that no table cuts a name.
_PIPED_WIDTH = 200
# What sets a field, where its name does not say it; what is a part of something is named with it.
_OPTIONS = {
    "model": "MODEL",
    "derived_base": "NAME",
    "base_model": "--base",
    "head_only": "--method",
    "full": "--method",
    "bitfit": "--method",
    "target_modules": "--target-module",
    "labels": "--label",
    "hidden_layers": "--hidden-layer",
    "precision": "--bf16",
    "class_weights": "--balanced",
    "thresholds": "--tune-thresholds",
    "cost_matrix": "--cost",
    "cost_matrix.costs": "--cost",
    "costs.truth": "--cost",
    "costs.answer": "--cost",
    "costs.cost": "--cost",
    "binary_costs.false_positive": "--false-positive-cost",
    "binary_costs.false_negative": "--false-negative-cost",
    "business_fields": "--field",
    "business_fields.names": "--field",
    "embedding.size": "--embedding-size",
    "own_module": "--module",
    "own_module.name": "--module",
    "own_module.settings": "--module-settings",
    "replay.dataset": "--replay-dataset",
    "replay.fraction": "--replay-fraction",
    "replay.rows": "--replay-rows",
}


def make_console(*, stderr: bool = False) -> Console:
    """Returns a console for stdout or stderr, as they are now."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else _PIPED_WIDTH, highlight=False)


def print_error(text: str, hint: str = "") -> None:
    """Prints one red line to stderr, and a hint below it."""
    console = make_console(stderr=True)
    console.print(f"[bold red]error:[/] {escape(text)}", soft_wrap=True)
    if hint:
        console.print(f"  {hint}", soft_wrap=True)


def describe(error: RequestError) -> str:
    """Says what a service refused: code, message, and where the service's log has it."""
    # The message of a field's error begins with the field already.
    message = error.message.removeprefix(f"{error.field}: ") if error.field else error.message
    named = f"{_option(error.field)}: " if error.field else ""
    where = f" (request id {error.request_id})" if error.request_id else ""
    return f"{error.code.name}: {named}{message}{where}"


def _option(field: str) -> str:
    """Returns the option that sets a field of a request: `--epochs` for `training_job.spec.hyperparameters.epochs`."""
    if field == "chunk":
        return "the file"
    path = [part for part in field.split(".") if not part.isdigit()]
    if path[:2] in (["training_job", "spec"], ["header", "dataset"]) or path[0] == "spec":
        usual = "--" + path[-1].replace("_", "-")
        return _OPTIONS.get(".".join(path[-2:])) or _OPTIONS.get(path[-1], usual)
    return field


def hint_for(error: RequestError) -> str:
    """Says what to do about an error, where that is known."""
    if error.code is grpc.StatusCode.UNAVAILABLE:
        return "[dim]is the suite up?[/] symbiont doctor"
    if error.code is grpc.StatusCode.INTERNAL:
        return "[dim]the service's log in the home's logs folder has the trace[/]"
    return ""
