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
from symbiont.solutions.warning.rules import seconds_of

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
        InvalidArgument: the recipe has no chart, or no rows to try it on; its chart does not count by day, or counts a
            label that the model does not give.
        ValueError: a row has no day, topic or text; says where.
    """
    chart, how = recipe.monitoring.chart, recipe.monitoring.replay
    if chart is None or how is None:
        missing = "chart: say there what is counted" if chart is None else "replay: say there where dated rows are"
        raise InvalidArgument("recipe", f"{recipe.solution} has no monitoring.{missing}")
    if seconds_of(chart.window) != seconds_of("1d"):
        problem = f"it is {chart.window}, and rows are counted by day: say 1d to try the chart"
        raise InvalidArgument("monitoring.chart.window", problem)
    rows = dated_rows(how, read(data, how.source))
    answers = ask(client, f"{recipe.model}@{recipe.serving.alias}", [text for _, _, text in rows])
    given = {one.label for prediction in answers.predictions for one in prediction.classes}
    if chart.label not in given:
        problem = f"the model never says {chart.label!r}: say one of {', '.join(sorted(given))}"
        raise InvalidArgument("monitoring.chart.label", problem)
    labelled = ((topic, day, one.label) for (topic, day, _), one in zip(rows, answers.predictions, strict=True))
    counts = daily_counts(labelled, chart.label)
    plans = [plan_surges(counts, chart, surges, seed, times=times, least=how.surge) for seed in range(max(replays, 1))]
    found = together([judge(with_surges(counts, planned), planned, chart) for planned in plans])
    return Replayed(found, with_surges(counts, plans[0]), plans[0], chart)
