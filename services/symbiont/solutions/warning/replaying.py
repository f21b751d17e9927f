"""The chart of a solution tried on its dated rows, as the served model reads them."""

from pathlib import Path

from symbiont.client import Client
from symbiont.common.errors import InvalidArgument
from symbiont.solutions.asking import ask
from symbiont.solutions.reading import read
from symbiont.solutions.recipe import Recipe
from symbiont.solutions.warning.replay import (
    ReplayFigures,
    daily_counts,
    dated_rows,
    judge,
    plan_surges,
    with_surges,
)

SURGES, TIMES = 3, 3.0


def replay(
    client: Client, recipe: Recipe, data: Path, *, surges: int = SURGES, times: float = TIMES, seed: int = 0
) -> ReplayFigures:
    """Returns how good the chart's alarms are on the rows of `monitoring.replay`, with surges put in.

    Args:
        data: folder of the raw files.
        surges: so many for each topic, three windows long.
        times: how many times the usual count a surge adds.
        seed: chooses where surges stand.

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
    planned = plan_surges(counts, chart, surges, seed, times=times)
    return judge(with_surges(counts, planned), planned, chart)
