"""Which classes a training has made worse: it and the version that it started from, judged on the same rows."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from symbiont.evaluation import Aligned, Classified, MultiLabelled, Outcome, Tagged, ragged, rows_of
from symbiont.evaluation.comparison import class_differences
from symbiont.training.data.rows import Row
from symbiont.training.heads.entities import SKIP, parts
from symbiont.training.heads.pooled import stacked
from symbiont.training.types import ClassChange, LogLine, Warning

Outputs = Sequence["np.ndarray[Any, Any]"]
# What a person reads at once.
_SHOWN = 20


def class_changes(
    task: str, rows: Sequence[Row], labels: Sequence[str], new: Outputs, old: Outputs, targets: Any
) -> tuple[ClassChange, ...]:
    """Returns how each class is known by the new outputs, against the old ones; nothing where a task has no classes.

    Args:
        task: the kind of the head.
        rows: those that were judged, one for each output.
        labels: in the order of the new outputs; the old ones may lack the last of them.
        new, old: outputs of each row, [outputs], or of entities [tokens, outputs].
        targets: places in `labels` [rows]; of labels that each hold 0 and 1 [rows, labels]; of entities places of tags,
            or SKIP, [rows, tokens].
    """
    if task not in _MAKE:
        return ()
    truth = np.asarray(targets)
    after, before = (_MAKE[task](rows, tuple(labels), outputs, truth) for outputs in (new, old))
    found = class_differences(Aligned(after, before, 0, 0))
    return tuple(
        ClassChange(
            label=each.value,
            row_count=each.rows,
            metric=each.difference.metric,
            before=each.difference.incumbent,
            after=each.difference.candidate,
            low=each.difference.gain.low,
            high=each.difference.gain.high,
        )
        for each in found
    )


def said_of(changes: Sequence[ClassChange], version: str) -> Iterator[LogLine | Warning]:
    """Yields what people are told of changes."""
    if not changes:
        return
    worst = sorted(changes, key=lambda change: change.after - change.before)
    more = f", and {len(changes) - _SHOWN} more that fell less" if len(changes) > _SHOWN else ""
    yield LogLine(f"against {version}, on the same rows: {'; '.join(map(_words, worst[:_SHOWN]))}{more}")
    if fell := [change for change in worst if change.worse]:
        named = "; ".join(f"{_words(c)} (95 %: {c.low:+.3f} to {c.high:+.3f})" for c in fell[:_SHOWN])
        text = f"known less well than by {version}: {named}; learn rows that taught them again, by replay"
        yield Warning("CLASS_WORSE", text)


def _words(change: ClassChange) -> str:
    return f"{change.metric} of {change.label!r} {change.before:.3f} -> {change.after:.3f}"


def _rows(rows: Sequence[Row]) -> Any:
    return rows_of([row.text for row in rows], [row.pair for row in rows], groups=[row.group for row in rows])


def _classified(rows: Sequence[Row], labels: tuple[str, ...], outputs: Outputs, truth: Any) -> Outcome:
    return Classified(_rows(rows), labels, stacked(outputs, len(labels)), truth.astype(np.int64))


def _labelled(rows: Sequence[Row], labels: tuple[str, ...], outputs: Outputs, truth: Any) -> Outcome:
    return MultiLabelled(_rows(rows), labels, stacked(outputs, len(labels)), truth > 0.5)


def _tagged(rows: Sequence[Row], labels: tuple[str, ...], outputs: Outputs, truth: Any) -> Outcome:
    """Parts by the numbers of their words; `labels` are tags."""
    types = tuple(tag[2:] for tag in labels if tag.startswith("B-"))
    words = [np.flatnonzero(row[: len(given)] != SKIP) for row, given in zip(truth, outputs, strict=True)]
    said = [given[place].argmax(1) for given, place in zip(outputs, words, strict=True)]
    true = [row[place] for row, place in zip(truth, words, strict=True)]

    def told(tags: Sequence[Any]) -> Any:
        found = [sorted(parts([labels[tag] for tag in row])) for row in tags]
        return ragged([[(start, end, types.index(name)) for start, end, name in row] for row in found], 3)

    return Tagged(_rows(rows), types, told(said), told(true))


_MAKE = {"classification": _classified, "multi_label": _labelled, "entities": _tagged}
