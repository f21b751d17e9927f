"""The chart on dated rows of the past, with surges put in where it is known: precision, recall and delay of alarms."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from symbiont.bundle.part import Part
from symbiont.solutions.reading import Record
from symbiont.solutions.recipe_serving import Chart, Replay
from symbiont.solutions.warning.chart import ControlChart

# An alarm so many windows after a surge begins, at most, is its.
LATEST = 3
# Of false alarms: per topic and so many days.
DAYS = 90
# Counts of a topic, one a window.
Counts = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Surge:
    """More rows than usual of a topic, from a window on: `extra` in each of `length` windows."""

    topic: str
    start: int
    length: int
    extra: float


class ReplayFigures(Part):
    """How good alarms were, over several replays, each with surges in other places.

    Attributes:
        surges, found: of all replays; found are those with an alarm in time.
        delays: windows from the begin of each surge that was found to its alarm; 0 is its first window.
        quiet: surges that were not found, and began in the windows after an alarm in which a topic gives no other.
        false_alarms: alarms of no surge, of all replays.
        per_topic_90: false alarms per topic and 90 windows.
        replays: how many.
    """

    topics: int
    windows: int
    surges: int
    found: int
    delays: tuple[int, ...]
    false_alarms: int
    per_topic_90: float
    replays: int = 1
    quiet: int = 0

    @property
    def precision(self) -> float:
        """Share of alarms that were of a surge; 1 without alarms."""
        return self.found / (self.found + self.false_alarms) if self.found + self.false_alarms else 1.0

    @property
    def recall(self) -> float:
        """Share of surges that were found in time."""
        return self.found / self.surges if self.surges else 1.0

    @property
    def good(self) -> bool:
        """Whether every surge was found in time, with at most one false alarm per topic and 90 windows."""
        return self.recall == 1 and self.per_topic_90 <= 1


def daily_counts(rows: Iterable[tuple[str, str, str]], label: str) -> dict[str, list[float]]:
    """Returns for each topic how many rows of each day have a label, from its first row on; days without rows count 0.

    Before its first row a topic is not known to Prometheus either: that nothing came is no count.

    Args:
        rows: topic, ISO date and label of each.
    """
    counted: dict[str, Counter[date]] = defaultdict(Counter)
    days: set[date] = set()
    for topic, day, said in rows:
        when = date.fromisoformat(day[:10])
        days.add(when)
        counted[topic][when] += said == label
    if not days:
        return {}
    last = max(days)
    return {
        topic: [float(found[first + timedelta(day)]) for day in range((last - first).days + 1)]
        for topic, found in sorted(counted.items())
        for first in [min(found)]
    }


def dated_rows(replay: Replay, records: Iterable[Record]) -> list[tuple[str, str, str]]:
    """Returns topic, day and text of each row; a cell with several texts gives a row for each.

    Raises:
        ValueError: a day is none, or a column is missing; says where.
    """
    rows = []
    for one in records:
        try:
            topic, day, cell = (str(one.columns[name]) for name in (replay.topic, replay.time, replay.text))
            date.fromisoformat(day[:10])
        except (KeyError, ValueError) as exc:
            raise ValueError(f"{one.place}: topic, time (ISO 8601) or text is not there: {exc}") from exc
        texts = cell.split(replay.separator) if replay.separator else [cell]
        rows += [(topic, day, text.strip()) for text in texts if text.strip()]
    return rows


def plan_surges(
    counts: Counts, chart: Chart, each: int, seed: int = 0, *, times: float = 3.0, least: float | None = None
) -> list[Surge]:
    """Returns so many surges of three windows for each topic, apart from each other, after the warm-up.

    Args:
        times: how many times the topic's mean count a surge adds.
        least: what it adds at least; default: twice what alarms at all.
    """
    chance = random.Random(seed)  # noqa: S311, no secret
    apart = chart.cool_down + LATEST + 3
    surges = []
    for topic, line in sorted(counts.items()):
        room = list(range(chart.warm_up + 1, len(line) - LATEST, apart))
        extra = max(times * sum(line) / max(len(line), 1), 2 * chart.least if least is None else least)
        for start in sorted(chance.sample(room, min(each, len(room)))):
            surges.append(Surge(topic, start, 3, float(round(extra))))
    return surges


def with_surges(counts: Counts, surges: Sequence[Surge]) -> dict[str, list[float]]:
    """Returns counts with surges in them."""
    made = {topic: list(line) for topic, line in counts.items()}
    for surge in surges:
        for window in range(surge.start, min(surge.start + surge.length, len(made[surge.topic]))):
            made[surge.topic][window] += surge.extra
    return made


def alarms_of(counts: Counts, chart: Chart) -> dict[str, list[int]]:
    """Returns the windows in which each topic alarms."""
    found = {}
    for topic, line in counts.items():
        control = ControlChart(chart)
        found[topic] = [window for window, count in enumerate(line) if control.add(count).alarm]
    return found


def together(found: Sequence[ReplayFigures]) -> ReplayFigures:
    """Returns the figures of several replays of the same rows as one."""
    return ReplayFigures(
        topics=found[0].topics,
        windows=found[0].windows,
        surges=sum(one.surges for one in found),
        found=sum(one.found for one in found),
        delays=tuple(delay for one in found for delay in one.delays),
        false_alarms=sum(one.false_alarms for one in found),
        per_topic_90=sum(one.per_topic_90 for one in found) / len(found),
        replays=len(found),
        quiet=sum(one.quiet for one in found),
    )


def judge(counts: Counts, surges: Sequence[Surge], chart: Chart) -> ReplayFigures:
    """Returns how good the alarms on counts that hold these surges are."""
    alarms = alarms_of(counts, chart)
    delays, used, quiet = [], set(), 0
    for surge in surges:
        mine = [one for one in alarms[surge.topic] if surge.start <= one <= surge.start + LATEST]
        if mine:
            delays.append(mine[0] - surge.start)
            used |= {(surge.topic, one) for one in mine}
        else:
            quiet += any(surge.start - chart.cool_down <= one < surge.start for one in alarms[surge.topic])
    total = sum(map(len, alarms.values()))
    windows = max(map(len, counts.values()), default=0)
    false = total - len(used)
    return ReplayFigures(
        topics=len(counts),
        windows=windows,
        surges=len(surges),
        found=len(delays),
        delays=tuple(delays),
        false_alarms=false,
        per_topic_90=false * DAYS / max(sum(map(len, counts.values())), 1),
        quiet=quiet,
    )
