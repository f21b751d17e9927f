"""What every recogniser is, and what many of them find together."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import regex  # type: ignore[import-untyped]

from symbiont.training.gate.pii.kinds import Found, Kind


class Recognizer(Protocol):
    """Finds some kinds in a text."""

    @property
    def kinds(self) -> frozenset[Kind]:
        """What it finds."""

    def find(self, text: str) -> Iterator[Found]:
        """Yields what it finds, in any order; what overlaps is settled later."""


@dataclass(frozen=True)
class Pattern:
    """Finds one kind by its form.

    Attributes:
        kind: what is found.
        form: a regular expression; where it has a group `value`, that is found.
        score: how sure a match is.
        check: tells of the matched text whether it is one.
        context: a regular expression, of which a match must stand shortly before or after; None where none is needed.
    """

    kind: Kind
    form: str
    score: float
    check: Callable[[str], bool] = lambda _: True
    context: str | None = None

    @property
    def kinds(self) -> frozenset[Kind]:
        """What it finds."""
        return frozenset({self.kind})

    def find(self, text: str) -> Iterator[Found]:
        """Yields what it finds."""
        for match in regex.finditer(self.form, text):
            start, end = match.span("value") if "value" in match.re.groupindex else match.span()
            if self.check(text[start:end]) and self._in_context(text, start, end):
                yield Found(start, end, self.kind, self.score)

    def _in_context(self, text: str, start: int, end: int) -> bool:
        if self.context is None:
            return True
        return bool(regex.search(self.context, f"{text[max(start - 48, 0) : start]}\n{text[end : end + 12]}"))


def find_all(recognizers: Sequence[Recognizer], text: str) -> list[Found]:
    """Returns what recognisers find in a text, in its order; of parts that overlap the surer, then the longer one."""
    found = [item for recognizer in recognizers for item in recognizer.find(text)]
    kept: list[Found] = []
    for item in sorted(found, key=lambda item: (-item.score, item.start - item.end, item.start, item.kind)):
        if all(item.end <= other.start or other.end <= item.start for other in kept):
            kept.append(item)
    return sorted(kept, key=lambda item: item.start)
