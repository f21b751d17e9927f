"""The rules of a race: when a rung cannot win, when climbing higher is of no use, and which rung is advised.

Values are measures of which more is better, as shares; tolerances are in points, a hundredth each. Nothing here knows a
service: the same results give the same answer.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from symbiont.advisor.curve import Curve
from symbiont.advisor.interval import half_width

# Shares of its checkpoints after which a running rung is held against the best.
MILESTONES = (0.5, 0.75)
# Differences of shares that are equal on paper may differ by so much in floating point.
_ROUNDING = 1e-9
# So many rungs in a row that bring less than the tolerance end the climb.
MOST_MISSES = 2


class Fate(StrEnum):
    """What became of a rung."""

    TRAINED = "trained"
    CUT = "cut"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Standing:
    """A rung as the rules see it.

    Attributes:
        name: the method.
        value: its measure, the mean over its seeds; None where it has none.
        seconds: time with a worker for one seed.
        own_base: whether a version is served from a copy of the base, which costs memory as long as it serves.
    """

    name: str
    fate: Fate
    value: float | None
    seconds: float
    own_base: bool = False

    @property
    def cost(self) -> tuple[bool, float]:
        """What is cheaper comes first: what shares the base before what needs a copy, then by compute."""
        return self.own_base, self.seconds


def enough(climbed: Sequence[Standing], tolerance: float) -> bool:
    """Whether two successive dearer rungs have each brought less than the tolerance.

    What a rung brings is counted from the last one that brought as much: small gains add up. A cut rung brings nothing;
    one that failed says nothing.
    """
    mark, misses = -math.inf, 0
    for rung in climbed:
        if rung.fate is Fate.FAILED:
            continue
        if rung.value is not None and rung.fate is Fate.TRAINED and rung.value - mark >= tolerance / 100 - _ROUNDING:
            mark, misses = rung.value, 0
        else:
            misses += 1
    return misses >= MOST_MISSES


def behind(curve: Curve, leaders: Mapping[str, Curve], checkpoints: int, tolerance: float, rows: int) -> str:
    """Says why a running rung cannot win, or nothing.

    At half and at three quarters of its checkpoints its best must not be below the best of any rung after as many
    checkpoints by more than the tolerance and what chance does on so many rows.
    """
    done = len(curve.points)
    if done not in {math.ceil(share * checkpoints) for share in MILESTONES}:
        return ""
    own = curve.best_after(done)
    others = {name: best for name, other in leaders.items() if (best := other.best_after(done)) is not None}
    if own is None or not others:
        return ""
    name = max(others, key=lambda leader: others[leader])
    room = tolerance / 100 + half_width(others[name], rows)
    if others[name] - own <= room:
        return ""
    return (
        f"after {done} of {checkpoints} checkpoints it is {100 * (others[name] - own):.1f} points behind {name}, "
        f"more than the tolerance and chance allow ({100 * room:.1f})"
    )


def contenders(standings: Sequence[Standing], tolerance: float) -> list[Standing]:
    """Returns the rungs between which more seeds could decide: those within twice the tolerance of the best."""
    ran = _trained(standings)
    best = max((value for _, value in ran), default=0.0)
    return [rung for rung, value in ran if best - value <= 2 * tolerance / 100 + _ROUNDING]


def advised(standings: Sequence[Standing], tolerance: float) -> Standing | None:
    """Returns the cheapest rung within the tolerance of the best; None where none was trained."""
    ran = _trained(standings)
    best = max((value for _, value in ran), default=0.0)
    near = [rung for rung, value in ran if best - value <= tolerance / 100 + _ROUNDING]
    return min(near, key=lambda rung: rung.cost, default=None)


def _trained(standings: Sequence[Standing]) -> list[tuple[Standing, float]]:
    return [(rung, rung.value) for rung in standings if rung.fate is Fate.TRAINED and rung.value is not None]
