"""Finds stop texts in text that arrives in pieces, and holds back what may be the beginning of one."""

from collections.abc import Sequence


class StopFilter:
    """Lets text through up to the first stop text; however the text is cut into pieces, the outcome is the same."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""
        self.found = ""

    def feed(self, text: str) -> str:
        """Takes a piece; returns what can be sent now. `found` is set once a stop text is complete."""
        text = self._held + text
        if not self._stops or self.found:
            return "" if self.found else text
        ends = [(start + len(stop), start, stop) for stop in self._stops if (start := text.find(stop)) >= 0]
        if ends:
            # The first to be complete; of two that are so at once, the one that began first.
            _, start, self.found = min(ends)
            self._held = ""
            return text[:start]
        held = max(_overlap(text, stop) for stop in self._stops)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def flush(self) -> str:
        """Returns what was held back, because no more text comes."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Returns the length of the longest end of `text` that is a beginning of `stop`, but not all of it."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
