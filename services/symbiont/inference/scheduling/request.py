"""Rows of several calls on their way to a host, as one request."""

from collections.abc import Sequence
from dataclasses import dataclass

from symbiont.engine.row import HostAnswer, Row, Times
from symbiont.inference.scheduling.call import Call, Piece


@dataclass(frozen=True, eq=False)
class Request:
    """What was sent to a host.

    Attributes:
        pieces: whose rows.
        rows: those of all pieces, one after the other.
        tokens: of all rows.
        sent: when, on the lane's clock.
        loading: the bundle that the host must first load for them, if any.
        full: whether more waited than it could take.
        spare: lanes of the host that it leaves to others.
        aside: it goes in what others leave, and says nothing of how fast the host is.
    """

    pieces: Sequence[Piece]
    rows: Sequence[Row]
    tokens: int
    sent: float
    loading: str | None
    full: bool
    spare: int = 0
    aside: bool = False

    @property
    def expires(self) -> float:
        """When nobody waits for any of its rows any more."""
        return max(piece.call.turn.expires for piece in self.pieces)

    @property
    def calls(self) -> Sequence[Call]:
        """Its calls, each once."""
        return list({piece.call: None for piece in self.pieces})

    @property
    def request_id(self) -> str:
        """The id of the first call, for Triton's log, and how many other calls are in it."""
        calls = self.calls
        return f"{calls[0].request_id}+{len(calls) - 1}" if len(calls) > 1 else calls[0].request_id

    @property
    def figures(self) -> dict[str, str | int]:
        """What a span says of it."""
        return {"symbiont.calls": len(self.calls), "symbiont.rows": len(self.rows), "symbiont.tokens": self.tokens}

    def answered(self, answer: HostAnswer) -> int:
        """Hands each call its answers; returns how many rows were computed that nobody waited for."""
        start, wasted = 0, 0
        for piece in self.pieces:
            answers = answer.rows[start : start + len(piece.indices)]
            start += len(piece.indices)
            if piece.call.done.done():
                wasted += sum(not isinstance(row, Exception) for row in answers)
            waited = self.sent - piece.call.arrived + answer.times.queued
            piece.call.answer(piece.indices, answers, Times(waited, answer.times.computed))
        return wasted
