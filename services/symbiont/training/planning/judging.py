"""How fast rows are judged, and the features that are there once they have been."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from symbiont.training.planning.trial import Timed
from symbiont.training.worker.examples import alone
from symbiont.training.worker.judging import ROWS_AT_A_TIME
from symbiont.training.worker.network import Network, infer

# Computed twice before anything counts: the first time is cold, the second says how many rows there is time for.
WARM_ROWS = 8


@dataclass(frozen=True)
class Judged:
    """Timed batches, and what the base makes of the rows: pooled hidden states [rows, hidden size], in their order."""

    timed: Timed
    features: npt.NDArray[np.float32]


def judge(network: Network, pooling: str, rows: Sequence[Any], seconds: float) -> Judged:
    """Puts rows through the base as the worker judges them: of the first as many as `seconds` allow, a few at least.

    How many is said beforehand, by the speed of a few: they are to be sorted by length before the first one.
    """
    rows = [alone(row) for row in rows]
    bare = Network(network.base, nn.Identity(), pooling)
    warm, few = Timed(), rows[:WARM_ROWS]
    _time(warm, bare, few)
    width = _time(warm, bare, few).shape[1]
    tokens = np.cumsum([len(row) for row in rows])
    affordable = tokens[len(few) - 1] / max(warm.seconds[1], 1e-6) * seconds
    chosen = rows[: max(int(np.searchsorted(tokens, affordable)), len(few))]
    timed, features = Timed(), np.zeros((len(chosen), width), np.float32)
    order = sorted(range(len(chosen)), key=lambda i: len(chosen[i]))
    for start in range(0, len(order), ROWS_AT_A_TIME):
        batch = order[start : start + ROWS_AT_A_TIME]
        features[batch] = _time(timed, bare, [chosen[i] for i in batch])
    return Judged(timed, features)


def _time(timed: Timed, bare: Network, rows: Sequence[Any]) -> Any:
    started, busy = time.monotonic(), time.process_time()
    made = np.stack(infer(bare, rows, ROWS_AT_A_TIME))
    timed.seconds.append(time.monotonic() - started)
    timed.busy.append(time.process_time() - busy)
    timed.rows.append(len(rows))
    timed.longest.append(max(len(row) for row in rows))
    return made
