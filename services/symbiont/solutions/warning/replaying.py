"""The chart of a solution tried on its dated rows, as the served model reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from symbiont.client import Client
from symbiont.common.errors import InvalidArgument
from symbiont.solutions.asking import ask
from symbiont.solutions.reading import read
from symbiont.solutions.recipe import Recipe
from symbiont.solutions.recipe_serving import Chart
from symbiont.solutions.warning.picture import draw
from symbiont.solutions.warning.replay import (
    Counts,
    ReplayFigures,
    Surge,
    daily_counts,
    dated_rows,
    judge,
    plan_surges,
    together,
    with_surges,
)

SURGES, TIMES = 3, 3.0
# One tells little: whether a surge is found hangs on where it stands.
REPLAYS = 20


@dataclass(frozen=True)
class Replayed:
    """Replays: how good alarms were; counts and surges are those of the first."""

    figures: ReplayFigures
    counts: Counts
    surges: Sequence[Surge]
    chart: Chart

    def picture(self, title: str) -> str:
        """Returns it as an SVG."""
        return draw(self.counts, self.surges, self.chart, title)


def replay(
    client: Client, recipe: Recipe, data: Path, *, surges: int = SURGES, times: float = TIMES, replays: int = REPLAYS
) -> Replayed:
    """Returns how good the chart's alarms are on the rows of `monitoring.replay`, with surges put in.

    Args:
        data: folder of the raw files.
        surges: so many for each topic, three windows long.
        times: how many times the usual count a surge adds.
        replays: how often, each time with surges in other places.

    Raises:
        InvalidArgument: the recipe has no chart, or no rows to try it on.
        ValueError: a row has no day, topic or text; says where.
    """
    chart, how = recipe.monitoring.chart, recipe.monitoring.replay
    if chart is None or how is None:
        missing = "chart: say there what is counted" if chart is None else "replay: say there where dated rows are"
        raise InvalidArgument("recipe", f"{recipe.solution} has no monitoring.{missing}")
    rows = dated_rows(how, read(data, how.source))
    answers = ask(client, f"{recipe.model}@{recipe.serving.alias}", [text for _, _, text in rows])
    labelled = ((topic, day, one.label) for (topic, day, _), one in zip(rows, answers.predictions, strict=True))
    counts = daily_counts(labelled, chart.label)
    plans = [plan_surges(counts, chart, surges, seed, times=times, least=how.surge) for seed in range(max(replays, 1))]
    found = together([judge(with_surges(counts, planned), planned, chart) for planned in plans])
    return Replayed(found, with_surges(counts, plans[0]), plans[0], chart)
