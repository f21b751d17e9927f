"""Labels that are positions follow the texts that they point into."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from symbiont.training.data.rows import LabelKind, Mark, Place, Row
from symbiont.training.gate.edits import Edited, Span, move_all

# (start, end) in a text before -> where that is now; None where it cannot be said.
Move = Callable[[int, int], Span | None]


def moved(row: Row, kind: LabelKind, text: Sequence[Edited], pair: Sequence[Edited]) -> Row | None:
    """Returns a row after changes of its text and of its pair, each on top of the one before.

    None where its label points into the middle of a change: what it would mean then cannot be said.
    """
    return _moved(row, kind, text, pair, lambda s, e: move_all(text, s, e), lambda s, e: move_all(pair, s, e))


def widened(row: Row, kind: LabelKind, text: Edited, pair: Edited) -> Row | None:
    """Returns a row after a change, its label widened to the whole of what replaced a part of it.

    None where two parts of the label would then overlap.
    """
    return _moved(row, kind, [text], [pair], text.widen, pair.widen)


def _moved(
    row: Row, kind: LabelKind, text: Sequence[Edited], pair: Sequence[Edited], in_text: Move, in_pair: Move
) -> Row | None:
    label: Any = row.label
    if kind is LabelKind.ENTITIES:
        label = _marks(label, in_text)
    elif kind is LabelKind.ANSWERS:
        label = _places(label, in_pair)
    if label is None and row.label is not None:
        return None
    return replace(row, text=text[-1].text if text else row.text, pair=pair[-1].text if pair else row.pair, label=label)


def _marks(label: Any, move: Move) -> tuple[Mark, ...] | None:
    made: list[Mark] = []
    for start, end, name in label:
        place = move(start, end)
        if place is None or (made and made[-1][1] > place[0]):
            return None
        made.append((*place, name))
    return tuple(made)


def _places(label: Any, move: Move) -> tuple[Place, ...] | None:
    made: list[Place] = []
    for start, end in label:
        place = move(start, end)
        if place is None:
            return None
        made.append(place)
    return tuple(made)
