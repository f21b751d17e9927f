"""Changes of a text that know where everything went, so that labels which are positions can follow."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# (start, end, what stands there now), in code points of the text before.
Edit = tuple[int, int, str]
Span = tuple[int, int]


@dataclass(frozen=True)
class Edited:
    """A text after edits."""

    text: str
    edits: tuple[Edit, ...] = ()

    def move(self, start: int, end: int) -> Span | None:
        """Returns where a part of the text before is now; None where a border was inside an edit, or it is gone."""
        moved = self._place(start, 0), self._place(end, 0)
        return None if None in moved or moved[0] == moved[1] else moved  # type: ignore[return-value]

    def widen(self, start: int, end: int) -> Span:
        """As `move`, but a border inside an edit moves outward: the part then has the whole of what replaced it."""
        low, high = self._place(start, -1), self._place(end, 1)
        assert low is not None and high is not None  # noqa: S101, PT018 - only without a direction there is no place
        return low, high

    def _place(self, position: int, direction: int) -> int | None:
        shift = 0
        for start, end, new in self.edits:
            if end <= position:
                shift += len(new) - (end - start)
            elif start < position:
                if not direction:
                    return None
                return start + shift + (len(new) if direction > 0 else 0)
            else:
                break
        return position + shift


def apply(text: str, edits: Iterable[Edit]) -> Edited:
    """Returns a text after edits that do not overlap, in any order; those that change nothing are left out."""
    kept = tuple(sorted(edit for edit in edits if text[edit[0] : edit[1]] != edit[2]))
    parts, at = [], 0
    for start, end, new in kept:
        parts += [text[at:start], new]
        at = end
    return Edited("".join([*parts, text[at:]]), kept)


def move_all(steps: Sequence[Edited], start: int, end: int) -> Span | None:
    """Returns where a part is after several changes, one on top of the other; None as `Edited.move`."""
    for step in steps:
        moved = step.move(start, end)
        if moved is None:
            return None
        start, end = moved
    return start, end
