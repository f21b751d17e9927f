"""The rows of one caller, on their way to a host and back."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from symbiont.common.errors import SymbiontError
from symbiont.common.tracing import kept
from symbiont.engine.row import Floats, HostAnswer, Row, Times
from symbiont.inference.types import Priority


@dataclass(frozen=True, slots=True)
class Turn:
    """What decides when a call is served: for whom, how urgent, and until when, on `time.monotonic`."""

    tenant: str
    priority: Priority
    expires: float
    # Whether the caller has a tenant; else the turn is a model's or a bundle's.
    is_named: bool = True


class Call:
    """The rows of one caller. `done` ends with the answers of all rows, or with the error of the whole call."""

    __slots__ = ("_answers", "_left", "_rows", "arrived", "done", "lengths", "request_id", "times", "trace", "turn")

    def __init__(self, rows: Sequence[Row], turn: Turn, request_id: str, arrived: float) -> None:
        self._rows: Sequence[Row] = rows
        self.lengths = [len(row.input_ids) for row in rows]
        self.turn = turn
        self.request_id = request_id
        self.arrived = arrived
        self.trace = kept()
        # Of the request that came back last: what it waited since the call arrived, and its computation.
        self.times = Times()
        self.done: asyncio.Future[HostAnswer] = asyncio.get_running_loop().create_future()
        self._answers: list[Floats | SymbiontError | None] = [None] * len(rows)
        self._left = len(rows)

    @property
    def rows(self) -> Sequence[Row]:
        """Its rows; none once it is done."""
        return self._rows

    @property
    def tokens(self) -> int:
        """Tokens of all rows."""
        return sum(self.lengths)

    def answer(self, indices: Sequence[int], answers: Sequence[Floats | SymbiontError], times: Times) -> None:
        """Takes the answers of some rows in; the last ones end the call."""
        if self.done.done():
            return
        for index, answer in zip(indices, answers, strict=True):
            self._answers[index] = answer
        self._left -= len(indices)
        self.times = times
        if not self._left:
            self.done.set_result(HostAnswer([answer for answer in self._answers if answer is not None], times))
            self.drop()

    def fail(self, error: Exception) -> None:
        """Ends the call with an error, if it has not ended."""
        if not self.done.done():
            self.done.set_exception(error)
        self.drop()

    def drop(self) -> None:
        """Lets go of rows and answers: a request in flight may hold the call for long after its caller has gone."""
        self._rows, self._answers = (), []
        if self.done.done() and not self.done.cancelled():
            # Looked at here, or asyncio complains of an error whose caller went at that very moment.
            self.done.exception()


class Entry:
    """Rows of a call that wait in a queue.

    Those of more than `whole` tokens, which may go in several requests, wait with the shortest first: rows of alike
    lengths then go together, and a host wastes less on padding.
    """

    __slots__ = ("_indices", "_next", "call", "tokens")

    def __init__(self, call: Call, indices: Sequence[int], whole: int) -> None:
        self.call = call
        self.tokens = sum(call.lengths[index] for index in indices)
        self._indices = sorted(indices, key=call.lengths.__getitem__) if self.tokens > whole else indices
        self._next = 0

    def __len__(self) -> int:
        return len(self._indices) - self._next

    @property
    def begun(self) -> bool:
        """Whether some of its rows are taken out."""
        return self._next > 0

    def clear(self) -> int:
        """Takes all rows out; returns how many they were."""
        left, self._next, self.tokens = len(self), len(self._indices), 0
        return left

    def cut(self, rows: int, tokens: int, *, alone: bool) -> Sequence[int]:
        """Takes rows out: at most `rows` of `tokens` in all. `alone`: one that has more goes all the same."""
        begin, end, total = self._next, self._next, 0
        while end < len(self._indices) and end - begin < rows:
            length = self.call.lengths[self._indices[end]]
            if total + length > tokens and not (alone and end == begin):
                break
            total += length
            end += 1
        self._next = end
        self.tokens -= total
        return self._indices[begin:end]


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Rows of a call that go into one request."""

    call: Call
    indices: Sequence[int]

    @property
    def tokens(self) -> int:
        """Tokens of these rows."""
        return sum(self.call.lengths[index] for index in self.indices)
