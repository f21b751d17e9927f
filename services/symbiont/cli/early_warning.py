"""`symbiont solutions watch` and `replay`: a stream counted for Prometheus, and the chart tried on rows of the past."""

import json
import select
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, TextIO

import typer
from prometheus_client import CollectorRegistry, start_http_server

from symbiont.cli.console import make_console
from symbiont.cli.render import facts, share
from symbiont.cli.target import with_client
from symbiont.client import Client
from symbiont.solutions.loading import find_recipe
from symbiont.solutions.recipe import Recipe
from symbiont.solutions.recipe_serving import Chart
from symbiont.solutions.table import delays_of
from symbiont.solutions.warning.counting import Told, TopicCounter, count_stream
from symbiont.solutions.warning.replay import DAYS, ReplayFigures
from symbiont.solutions.warning.replaying import REPLAYS, SURGES, TIMES
from symbiont.solutions.warning.replaying import replay as replayed

NameArgument = Annotated[str, typer.Argument(metavar="SOLUTION", help="Id, or a folder or file of your own recipe.")]


def add_to(app: typer.Typer) -> None:
    """Adds the commands to `symbiont solutions`."""
    app.command()(watch)
    app.command()(replay)


@with_client
def watch(
    client: Client,
    solution: NameArgument,
    port: Annotated[int, typer.Option(help="Port of the loopback address that serves /metrics.")] = 9104,
) -> None:
    """Counts what the served model says of a stream, by topic, for Prometheus to scrape.

    Reads JSON from stdin, an object with topic and text a line, until it ends. The rules that `run` has written
    (prometheus-rules.yml) make a control chart of the counts; Alertmanager tells of surges.

    Example: symbiont solutions watch financial-warning
    """
    recipe = find_recipe(solution).recipe
    chart = _chart(recipe)
    registry = CollectorRegistry()
    counter = TopicCounter(registry, recipe.solution, [chart.label])
    server, thread = start_http_server(port, "127.0.0.1", registry)
    make_console(stderr=True).print(f"http://127.0.0.1:{server.server_port}/metrics", markup=False)
    try:
        model = f"{recipe.model}@{recipe.serving.alias}"
        total = count_stream(client, model, told(sys.stdin), counter, lambda: _has_more(sys.stdin))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    make_console().print(f"{total} rows counted")


@with_client
def replay(
    client: Client,
    solution: NameArgument,
    data: Annotated[Path, typer.Option("--data", help="Folder of its raw files.")],
    surges: Annotated[int, typer.Option(min=0, help="Surges put in for each topic, three windows long.")] = SURGES,
    times: Annotated[float, typer.Option(min=1, help="How many times the usual count a surge adds.")] = TIMES,
    replays: Annotated[int, typer.Option(min=1, help="How often, with surges in other places.")] = REPLAYS,
    picture: Annotated[
        Path, typer.Option(dir_okay=False, help="Where to draw counts, limits and alarms, as SVG.")
    ] = Path("replay.svg"),
) -> None:
    """Tries the control chart on dated rows of the past: precision, recall and delay of its alarms.

    Surges are put in, so that it is known where they are. Alarms elsewhere count as false, though some may tell of
    something that did happen. The exit status is 1 where an alarm is late or too many are false.

    Example: symbiont solutions replay financial-warning --data data
    """
    recipe, console = find_recipe(solution).recipe, make_console()
    found = replayed(client, recipe, data, surges=surges, times=times, replays=replays)
    console.print(facts(_shown(found.figures)))
    picture.write_text(found.picture(recipe.title), encoding="utf-8")
    console.print(f"picture: {picture}", markup=False, soft_wrap=True)
    if not found.figures.good:
        raise typer.Exit(1)


def told(stream: TextIO) -> Iterator[Told]:
    """Yields topic and text of each line.

    Raises:
        ValueError: a line is no JSON object with both.
    """
    for number, line in enumerate(stream, 1):
        try:
            row = json.loads(line)
            yield str(row["topic"]), str(row["text"])
        except (ValueError, KeyError, TypeError) as exc:
            raise ValueError(f'line {number}: say {{"topic": "...", "text": "..."}}: {exc!r}') from exc


def _has_more(stream: TextIO) -> bool:
    """Whether a line may be read at once. Lines that the stream has read ahead do not show: then they go one by one."""
    try:
        return bool(select.select([stream], [], [], 0)[0])
    except (OSError, ValueError):
        # In memory, where nothing is waited for.
        return True


def _chart(recipe: Recipe) -> Chart:
    if recipe.monitoring.chart is None:
        raise typer.BadParameter(f"{recipe.solution} has no monitoring.chart: say there what is counted")
    return recipe.monitoring.chart


def _shown(found: ReplayFigures) -> list[tuple[str, str]]:
    return [
        ("topics", str(found.topics)),
        ("windows", str(found.windows)),
        ("replays", str(found.replays)),
        ("surges found", f"{found.found} of {found.surges} ({share(found.recall)})"),
        ("others, in the quiet after an alarm", f"{found.quiet} of {found.surges - found.found}"),
        ("precision", share(found.precision)),
        ("delay in windows", delays_of(found)),
        (f"false alarms per topic and {DAYS} days", f"{found.per_topic_90:.2f}"),
    ]
