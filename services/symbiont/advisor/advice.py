"""What a race has found, and what is advised, in words."""

from dataclasses import dataclass, replace
from functools import cached_property

from symbiont.advisor.bench import Run
from symbiont.advisor.interval import half_width, interval_of
from symbiont.advisor.rules import Fate, Standing, advised
from symbiont.advisor.trials import word
from symbiont.api.training.v1.training_job_pb2 import FAILURE_KIND_BUDGET


@dataclass(frozen=True)
class Rung:
    """A method of a race: its runs, one a seed, the first one that of the climb; `why` of one that was not trained."""

    method: str
    fate: Fate
    runs: tuple[Run, ...] = ()
    why: str = ""

    @property
    def measured(self) -> list[float]:
        """The measures of its versions, one a seed."""
        return [run.value for run in self.runs if run.value is not None]

    @property
    def value(self) -> float | None:
        """Their mean; None without a version."""
        return sum(self.measured) / len(self.measured) if self.measured else None

    @property
    def seconds(self) -> float:
        """Time with a worker for one seed, the mean."""
        return sum(run.seconds for run in self.runs) / len(self.runs) if self.runs else 0.0

    @property
    def cost(self) -> float:
        """What one seed cost, the mean; 0 where the service has no price."""
        return sum(run.job.usage.cost for run in self.runs) / len(self.runs) if self.runs else 0.0

    @property
    def row_count(self) -> int:
        """Rows that it was judged by."""
        return max((run.job.evaluation.row_count for run in self.runs), default=0)

    @property
    def standing(self) -> Standing:
        """What the rules see of it."""
        return Standing(self.method, self.fate, self.value, self.seconds, own_base=self.method == "full")

    @property
    def best_run(self) -> Run:
        """The run whose version is taken: that with the best measure, the first of several."""
        return max(self.runs, key=lambda run: run.value if run.value is not None else float("-inf"))

    @property
    def stopped_by_budget(self) -> bool:
        """Whether the budget ended one of its runs, whose version is then of the best until there."""
        return any(run.job.failure.kind == FAILURE_KIND_BUDGET for run in self.runs)

    def with_run(self, run: Run) -> "Rung":
        """Returns it with one more seed."""
        return replace(self, runs=(*self.runs, run))

    def interval(self, metric: str) -> tuple[float, float] | None:
        """Returns the 95 % interval of its value; rows count once, however many seeds they judged."""
        return None if self.value is None else interval_of(metric, self.value, self.row_count)

    def sentence(self, metric: str) -> str:
        """Says what became of it."""
        if self.value is None:
            return f"{word(self.method)} {self.fate}: {self.why}"
        cut = ", ended by the budget" if self.stopped_by_budget else ""
        return f"{word(self.method)}: {metric} {points(self.value)} after {self.seconds:.1f} s of training{cut}"


@dataclass(frozen=True)
class Advice:
    """A race that is over.

    Attributes:
        rungs: in the order in which they were climbed, those that were not tried at the end.
        tolerance: in points.
    """

    study: str
    model: str
    metric: str
    tolerance: float
    rungs: tuple[Rung, ...]

    @cached_property
    def advised(self) -> Rung | None:
        """The cheapest rung within the tolerance of the best; None where none was trained."""
        found = advised([rung.standing for rung in self.rungs], self.tolerance)
        return next((rung for rung in self.rungs if found and rung.method == found.name), None)

    @property
    def version(self) -> str:
        """The version that the advised rung has made: `models/{model}/versions/{version}`; empty without one."""
        return self.advised.best_run.job.model_version if self.advised else ""

    def reasons(self) -> list[str]:
        """Says why, a sentence each."""
        chosen = self.advised
        if chosen is None:
            return ["No method made a version: see the failures above, mend them, and begin another study."]
        trained = [rung for rung in self.rungs if rung.value is not None]
        best = max(trained, key=lambda rung: rung.value or 0.0)
        return [
            self._choice(chosen, best),
            *_cheaper(chosen, best, trained),
            *_unfinished(trained),
            *_copy(trained),
            *self._doubt(best),
        ]

    def _choice(self, chosen: Rung, best: Rung) -> str:
        if chosen is best:
            return f"{word(chosen.method)} is the best, with {self.metric} {points(chosen.value)}."
        gap, unit = _gap(best, chosen), "point" if self.tolerance == 1 else "points"
        return (
            f"{word(chosen.method)} is the cheapest within {self.tolerance:g} {unit} of the best: it reaches "
            f"{points(chosen.value)}, {word(best.method)} {points(best.value)} ({gap:.1f} more)"
            f"{_times(best, chosen)}."
        )

    def _doubt(self, best: Rung) -> list[str]:
        if best.value is None or not best.row_count:
            return []
        moves = 100 * half_width(best.value, best.row_count)
        if moves <= self.tolerance:
            return []
        more = "" if len(best.runs) > 1 else ", or average over --seeds"
        return [
            f"On {best.row_count} held-out rows chance alone moves a figure by about {moves:.1f} points: judge smaller "
            f"differences by more rows (--evaluation-dataset){more}."
        ]


def _cheaper(chosen: Rung, best: Rung, trained: list[Rung]) -> list[str]:
    cheaper = [rung for rung in trained if rung.standing.cost < chosen.standing.cost]
    return [
        f"{word(rung.method)} is cheaper and {_gap(best, rung):.1f} points below the best, more than the tolerance."
        for rung in cheaper
    ]


def _unfinished(trained: list[Rung]) -> list[str]:
    stopped = [word(rung.method) for rung in trained if rung.stopped_by_budget]
    return [f"The budget ended {', '.join(stopped)} early: more training might do more for it."] if stopped else []


def _copy(trained: list[Rung]) -> list[str]:
    """Says why full is the dearest, where its training was not."""
    full = [rung.seconds for rung in trained if rung.method == "full" and not rung.stopped_by_budget]
    if not full or all(rung.seconds <= full[0] for rung in trained):
        return []
    return ["full counts as the dearest all the same: it is served from a copy of the base of its own, in memory."]


def points(value: float | None) -> str:
    """Returns a measure in points with one decimal: `86.5`."""
    return "" if value is None else f"{100 * value:.1f}"


def _gap(better: Rung, other: Rung) -> float:
    return 100 * ((better.value or 0.0) - (other.value or 0.0))


def _times(best: Rung, chosen: Rung) -> str:
    return f" for {best.seconds / chosen.seconds:.1f} times the training" if chosen.seconds else ""
