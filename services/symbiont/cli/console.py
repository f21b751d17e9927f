"""What the command prints with, and how it says that something failed."""

import sys

import grpc
from rich.console import Console
from rich.markup import escape

from symbiont.client import RequestError

# Piped output is for programs and logs: wide enough that no table cuts a name.
_PIPED_WIDTH = 200


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
    named = error.field and not error.message.startswith(error.field)
    parts = [f"field {error.field}"] if named else []
    parts += [f"request id {error.request_id}"] if error.request_id else []
    where = f" ({', '.join(parts)})" if parts else ""
    return f"{error.code.name}: {error.message}{where}"


def hint_for(error: RequestError) -> str:
    """Says what to do about an error, where that is known."""
    if error.code is grpc.StatusCode.UNAVAILABLE:
        return "[dim]is the suite up?[/] symbiont doctor"
    if error.code is grpc.StatusCode.INTERNAL:
        return "[dim]the service's log in the home's logs folder has the trace[/]"
    return ""
