"""The time of a job, put together from what was measured of its parts.

A part's deviation is relative. Parts that are sums over batches are wrong by what their pace says (see `pace.Pace`);
they are wrong together, because it is one machine whose speed they share. Parts that were done once are wrong by
`ONCE`, each for itself: a disk, or a page that is not in memory, has its own ups and downs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from symbiont.training.planning.types import Estimate, estimate

# Of what was done once: standard deviation, relative.
ONCE = 0.25
# Of a step's time, for exchanging gradients between ranks: not measured.
EXCHANGE = 0.1
EXCHANGE_DEVIATION = 0.15


@dataclass(frozen=True)
class Part:
    """A part of a job, in seconds; `shared`: it is wrong together with the others that are."""

    name: str
    seconds: float
    deviation: float = ONCE
    shared: bool = False


def total_of(parts: Sequence[Part]) -> Estimate:
    """Returns the sum of the parts with its interval."""
    value = sum(part.seconds for part in parts)
    together = sum(part.seconds * part.deviation for part in parts if part.shared)
    apart = math.hypot(*(part.seconds * part.deviation for part in parts if not part.shared))
    return estimate(value, math.hypot(together, apart) / value)


def by_name(parts: Sequence[Part]) -> tuple[tuple[str, float], ...]:
    """Returns (name, seconds), parts of one name added."""
    names = dict.fromkeys(part.name for part in parts)
    return tuple((name, sum(part.seconds for part in parts if part.name == name)) for name in names)
