"""How far a head alone goes: learnt and judged on features of the frozen base, which judging had to compute anyhow."""

from dataclasses import dataclass

import numpy as np

from symbiont.training.planning.advice import Comparison, head_accuracy, usual_share
from symbiont.training.planning.judging import Judged, judge
from symbiont.training.planning.material import Side
from symbiont.training.planning.sampling import spread_labels
from symbiont.training.worker.network import Network

# With fewer judged rows an accuracy says next to nothing.
LEAST_JUDGED = 20
# Of so many rows whose features are taken, one is judged, and the others are learnt from.
ONE_JUDGED_OF = 3


@dataclass(frozen=True)
class _Row:
    """A row of one side's sample."""

    held: bool
    place: int


def compare(
    network: Network, pooling: str, kept: Side, held: Side, seed: int, seconds: float
) -> tuple[Judged, Comparison | None]:
    """Judges rows of both sides for some seconds; returns the batches that were timed, and what a head made of them.

    The network must be as it was when it was loaded. Without enough rows there is no comparison.
    """
    order = _order(kept, held, seed)
    judged = judge(network, pooling, [(held if row.held else kept).rows[row.place] for row in order], seconds)
    used = order[: len(judged.features)]
    from_held = np.array([row.held for row in used])
    labels = kept.labels()
    learnt = [labels[row.place] for row in used if not row.held]
    labels = held.labels()
    truth = [labels[row.place] for row in used if row.held]
    # What is not one class of a text, such a head says nothing of.
    one_class = all(isinstance(row.label, str) for row in kept.texts.rows) and not kept.windowed
    if not one_class or len(truth) < LEAST_JUDGED or len(set(learnt)) < 2:
        return judged, None
    accuracy = head_accuracy(judged.features[~from_held], learnt, judged.features[from_held], truth)
    return judged, Comparison(accuracy, usual_share(truth), len(learnt), len(truth))


def _order(kept: Side, held: Side, seed: int) -> list[_Row]:
    """Mixes both sides, so that however many rows there is time for, some of both are there, and of every label."""
    learn = spread_labels(kept.labels(), len(kept.rows), seed).tolist()
    tell = spread_labels(held.labels(), len(held.rows), seed).tolist()
    order: list[_Row] = []
    while learn or tell:
        order += [_Row(False, place) for place in learn[: ONE_JUDGED_OF - 1]]
        order += [_Row(True, place) for place in tell[:1]]
        del learn[: ONE_JUDGED_OF - 1], tell[:1]
    return order
