"""`symbiont up`: runs the whole suite on this machine until it is told to stop."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from symbiont.cli.console import make_console
from symbiont.cli.render import table
from symbiont.cli.target import DEFAULT_HOME_PATH, HomeOption
from symbiont.local.child import State, Status
from symbiont.local.home import Home
from symbiont.local.services import ALERTMANAGER, PROMETHEUS
from symbiont.local.stack import Stack

REFRESH_S = 0.5
_COLOUR = {State.READY: "green", State.STARTING: "cyan", State.RESTARTING: "red", State.STOPPED: "dim"}

TritonOption = Annotated[
    Path | None,
    typer.Option(
        "--triton",
        envvar="SYMBIONT_TRITON",
        help="A tritonserver, or a folder with the nvidia-pytriton wheel (default: searched for).",
        show_default=False,
    ),
]


PrometheusOption = Annotated[
    bool,
    typer.Option(
        "--prometheus",
        help="Run a Prometheus beside the suite: it scrapes all parts and judges the project's rules of alerts; its "
        "data stay in HOME/prometheus. The program must be on the PATH.",
    ),
]
AlertmanagerOption = Annotated[
    bool,
    typer.Option(
        "--alertmanager",
        help="As --prometheus, and an Alertmanager that is told of alerts. Whom it tells in turn stands in "
        "HOME/alertmanager/alertmanager.yml, which is yours to edit: at first nobody.",
    ),
]
InsecureOption = Annotated[
    bool,
    typer.Option(
        "--insecure",
        envvar="SYMBIONT_INSECURE",
        help="No TLS, and no question who calls: whoever is on this machine may do all.",
    ),
]


def up(
    home: HomeOption = DEFAULT_HOME_PATH,
    triton: TritonOption = None,
    insecure: InsecureOption = False,
    prometheus: PrometheusOption = False,
    alertmanager: AlertmanagerOption = False,
) -> None:
    """Runs tokenization, training, Triton and inference here, restarts what dies, and stops all on Ctrl-C.

    Everything is kept in the home folder: models and datasets survive, and a training job that was stopped goes on
    from its last checkpoint when the suite is up again.

    The processes know each other and their callers by certificates that are made in the home, in its folder tls; this
    command line and the Python client find theirs there. `symbiont certificates issue` makes those of others.
    """
    observers = (PROMETHEUS, ALERTMANAGER) if alertmanager else (PROMETHEUS,) if prometheus else ()
    console = make_console()
    with stop_signals() as stop:
        print_line = line_printer(console)

        def tell(status: Status) -> None:
            # While it is shown, the table says it.
            if stop.is_set() or not console.is_terminal:
                print_line(status)

        with Stack(Home(home.absolute()), triton, tell, observers, insecure=insecure) as stack:
            announce(console, stack)
            if console.is_terminal:
                _show_live(console, stack, stop)
            else:
                stop.wait()
            console.print("stopping; running training jobs go on from their last checkpoint at the next `up`")
    console.print("stopped")


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Gives an event that SIGINT and SIGTERM set; a second signal does not cut the stopping short."""
    stop = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stop.set()) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def announce(console: Console, stack: Stack) -> None:
    """Says what differs from an undisturbed start, and where to look at what is observed."""
    if stack.insecure:
        console.print("[yellow]insecure: whoever is on this machine may call the services, and read what they say[/]")
    if stack.replaced:
        pids = ", ".join(str(pid) for pid in stack.replaced)
        console.print(f"[yellow]stopped what a killed supervisor had left running:[/] {pids}")
    if stack.taken_over:
        console.print(
            f"signed {stack.taken_over} bundles that were here before there were signatures; see bundles --help"
        )
    if moved := stack.ports.moved():
        console.print(
            f"[yellow]default ports are busy, taken instead:[/] {', '.join(f'{n} {p}' for n, p in moved.items())}"
        )
    for name in stack.observers:
        console.print(f"{name}: {stack.ports.url(name)}", markup=False, soft_wrap=True)


def line_printer(console: Console) -> Callable[[Status], None]:
    """Returns a listener that prints a line whenever a process changes its state."""

    def print_line(status: Status) -> None:
        process = f" pid {status.process.pid}" if status.process else ""
        died = f" ({status.last_exit})" if status.state is State.RESTARTING else ""
        console.print(f"{status.name}: {status.state}{process}{died}", markup=False, soft_wrap=True)

    return print_line


def _show_live(console: Console, stack: Stack, stop: threading.Event) -> None:
    with Live(_screen(stack), console=console, auto_refresh=False, transient=True) as live:
        while not stop.wait(REFRESH_S):
            live.update(_screen(stack), refresh=True)


def _screen(stack: Stack) -> RenderableType:
    rows = (
        (
            s.name,
            Text(s.state, style=_COLOUR[s.state]),
            s.process.pid if s.process else "",
            timedelta(seconds=round(s.uptime)) if s.process else "",
            f"{s.restarts} ({s.last_exit.partition(';')[0]})" if s.restarts else "",
            stack.ports.url(s.name) if s.name in stack.observers else stack.record.addresses[s.name],
            stack.record.metrics_urls.get(s.name, ""),
        )
        for s in stack.snapshot()
    )
    columns = ["PROCESS", "STATE", ">PID", ">UPTIME", ">RESTARTS", "ADDRESS", "METRICS"]
    return Group(table(columns, rows), f"[dim]home {stack.home.root}, logs in {stack.home.logs}; Ctrl-C stops all[/]")
