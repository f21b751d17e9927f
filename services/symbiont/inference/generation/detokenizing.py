"""Turns ids that arrive in pieces into text that arrives in pieces, never cutting a character."""

from collections.abc import Awaitable, Callable, Sequence

_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"
Decode = Callable[[Sequence[Sequence[int]]], Awaitable[Sequence[str]]]


class Detokenizer:
    """The text of one sequence.

    A token's text depends on the tokens before it: whether a space stands in front of it, and whether its bytes
    complete a character. So a short window is decoded twice, without and with the new ids, and the difference is the
    new text; the window moves on whenever some text came out. What ends in an incomplete character waits.
    """

    def __init__(self, decode: Decode, context: Sequence[int] = ()) -> None:
        """Begins.

        Args:
            decode: returns the text of each row of ids.
            context: ids of the text that is continued, whose own text is not repeated.
        """
        self._decode = decode
        self._ids = list(context)
        self._start = 0
        self._read = len(self._ids)

    async def add(self, ids: Sequence[int], *, last: bool = False) -> str:
        """Takes ids; returns the text that is certain now, and with `last` all that is left."""
        self._ids += ids
        if self._read == len(self._ids):
            return ""
        before, after = await self._decode([self._ids[self._start : self._read], self._ids[self._start :]])
        # By length and not by comparison: bytes that turn out to be no text change what stood before them, and what
        # follows must not be lost with it.
        if len(after) <= len(before) or (after.endswith(_INCOMPLETE) and not last):
            return ""
        self._start, self._read = self._read, len(self._ids)
        return after[len(before) :]
