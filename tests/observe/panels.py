"""Runs every query of every panel against a real Prometheus that scrapes a running suite; fails where one has no data.

Run as `python -m observe.panels` in `tests`. It starts a suite of its own with a real Triton and small models, and
calls everything that it offers meanwhile.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table

from observe.calls import traffic
from observe.everything import Observed, observed
from support.dashboards import ROOT, Dashboard, dashboards
from support.prometheus import Prometheus

STEP_S = 5
PROTOS = ROOT / "protos"


@dataclass(frozen=True)
class Answer:
    """What a query of a panel gave: how many series, how many of them with a number in them, and the largest."""

    dashboard: str
    panel: str
    query: str
    series: int
    with_data: int = 0
    largest: float = 0
    error: str = ""


def ask(prometheus: Prometheus, dashboard: Dashboard, seconds: int) -> list[Answer]:
    """Runs every query of a dashboard over the last `seconds`."""
    answers = []
    for panel, query in dashboard.queries():
        try:
            found = prometheus.query_range(query, seconds, STEP_S)
        except AssertionError as exc:
            answers.append(Answer(dashboard.name, panel["title"], query, 0, error=str(exc)))
            continue
        values = [series.values for series in found if series.values]
        largest = max(map(max, values), default=0)
        answers.append(Answer(dashboard.name, panel["title"], query, len(found), len(values), largest))
    return answers


def drive(suite: Observed, seconds: int) -> int:
    """Calls everything for at least so long; returns for how many seconds it was."""
    begun = time.monotonic()
    with traffic(suite) as everything_once:
        everything_once.wait(600)
        time.sleep(max(0, seconds - (time.monotonic() - begun)))
    return round(time.monotonic() - begun)


def not_called(prometheus: Prometheus) -> list[str]:
    """Returns the methods of the protos that nobody called."""
    files = [path.relative_to(PROTOS / "symbiont").with_suffix("") for path in PROTOS.rglob("*.proto")]
    modules = [import_module(f"symbiont.api.{'.'.join(file.parts)}_pb2") for file in files]
    services = [service for module in modules for service in module.DESCRIPTOR.services_by_name.values()]
    called = prometheus.label_values("symbiont_rpc_started_total", "rpc")
    return sorted(method.name for service in services for method in service.methods if method.name not in called)


def without_data(answers: list[Answer]) -> list[Answer]:
    """Returns the answers in which there is no number."""
    return [answer for answer in answers if not answer.with_data]


def show(answers: list[Answer]) -> list[Answer]:
    """Prints a line for each query; returns those without data."""
    table = Table("dashboard", "panel", "series", "with data", "largest", box=None)
    for answer in answers:
        style = "" if answer.with_data else "bold red"
        counts = str(answer.series), str(answer.with_data), f"{answer.largest:.4g}"
        table.add_row(answer.dashboard, answer.panel, *counts, style=style)
    console = Console(width=120)
    console.print(table)
    empty = without_data(answers)
    for answer in empty:
        console.print(f"no data: {answer.dashboard}, {answer.panel}: {answer.query} {answer.error}", markup=False)
    panels = {(answer.dashboard, answer.panel) for answer in answers}
    console.print(f"{len(answers)} queries of {len(panels)} panels, {len(empty)} of them without data")
    return empty


def main() -> None:
    """Starts, calls, asks, and says what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=90, help="shortest time of calls; default 90")
    parser.add_argument("--dashboard", action="append", help="only this one; may be repeated")
    options = parser.parse_args()
    chosen = [one for one in dashboards() if not options.dashboard or one.name in options.dashboard]
    with tempfile.TemporaryDirectory() as folder, observed(Path(folder)) as suite:
        lasted = drive(suite, options.seconds)
        answers = [answer for one in chosen for answer in ask(suite.prometheus, one, lasted)]
        left_out = not_called(suite.prometheus)
    empty = show(answers)
    print(f"RPCs that were not called: {', '.join(left_out) or 'none'}")
    sys.exit(bool(empty))


if __name__ == "__main__":
    main()
