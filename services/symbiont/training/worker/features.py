"""What a frozen base gives for every row, computed once: a head that learns from it needs no base at its steps."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from symbiont.training.types import LogLine, Report
from symbiont.training.worker.commands import Command
from symbiont.training.worker.errors import StopRequested
from symbiont.training.worker.judging import ROWS_AT_A_TIME
from symbiont.training.worker.network import Network, infer

if TYPE_CHECKING:
    import numpy as np

# Between two looks at what the controller asks for.
ROWS_AT_ONCE = 8 * ROWS_AT_A_TIME
SAY_SECONDS = 10.0


def features(
    network: Network, rows: Sequence[Any], send: Callable[[Report], None], command: Callable[[], Command]
) -> list["np.ndarray[Any, Any]"]:
    """Returns the pooled hidden states of each of the rows, and its business features behind them.

    Raises:
        StopRequested: it was asked to stop; nothing was learnt yet.
    """
    bare = network.bare()
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    found: list[Any] = [None] * len(rows)
    said = time.monotonic()
    for start in range(0, len(order), ROWS_AT_ONCE):
        if command() in (Command.STOP, Command.DROP):
            raise StopRequested
        chosen = order[start : start + ROWS_AT_ONCE]
        for i, row in zip(chosen, infer(bare, [rows[i] for i in chosen], ROWS_AT_A_TIME), strict=True):
            found[i] = row
        if time.monotonic() - said > SAY_SECONDS:
            said = time.monotonic()
            send(LogLine(f"the base has seen {start + len(chosen):,} of {len(rows):,} rows, which it sees once"))
    return found


def features_bytes(network: Network, row_count: int) -> float:
    """Returns what the features of so many rows take."""
    base: Any = network.base
    return 4.0 * row_count * int(base.config.hidden_size)
