"""Labels that mean something else than they did: rows that a version holds consistently for those of other labels.

A dataset that was exported with its labels in another order looks like any other. The version that a training starts
from tells: where it holds most rows of one label for another's, and those of that one for a third's or the first's, it
is not the texts that have changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from symbiont.common.errors import InvalidArgument
from symbiont.training.heads.entities import SKIP

# Fewer rows of a label tell nothing.
LEAST_ROWS = 5
# Share of them that is a large majority, and what it must be above beyond chance.
MAJORITY, BY_CHANCE = 0.6, 0.5
# Of a two-sided interval of 95 %.
_Z = 1.96


@dataclass(frozen=True)
class Exchanged:
    """Rows of the label `given`, of which so many are `held_for` another."""

    given: str
    held_for: str
    count: int
    rows: int


def check_labels(
    task: str, labels: Sequence[str], outputs: Sequence["np.ndarray[Any, Any]"], targets: Tensor, version: str
) -> None:
    """Raises InvalidArgument where the version holds the rows of several labels for those of others.

    Args:
        task: the kind of the head.
        labels: those that the version knows, in the order of its outputs.
        outputs: what it gives for each of some examples.
        targets: what is to be learnt of these.
    """
    truth, said = _decided(task, len(labels), outputs, targets.numpy())
    if found := exchanged(truth, said, labels):
        words = "; ".join(f"{e.count} of {e.rows} rows of {e.given!r} for {e.held_for!r}" for e in found)
        raise InvalidArgument(
            "spec.dataset",
            f"its labels look exchanged: {version} holds {words}. Correct the rows, or set accept_changed_labels",
            reason="LABELS_EXCHANGED",
        )


def exchanged(truth: "np.ndarray[Any, Any]", said: "np.ndarray[Any, Any]", labels: Sequence[str]) -> list[Exchanged]:
    """Returns the labels whose rows are held for another one's, where at least two are, each for one of its own.

    Many labels that are all held for one are what a poor version does, and no exchange. `truth` and `said` [rows] are
    places in `labels`; what is none of them is left out.
    """
    found = []
    for place, label in enumerate(labels):
        rows = said[truth == place]
        if len(rows) < LEAST_ROWS:
            continue
        counts = np.bincount(rows[(rows >= 0) & (rows < len(labels))], minlength=len(labels))
        best = int(counts.argmax())
        share = counts[best] / len(rows)
        if best != place and share >= MAJORITY and _lower(share, len(rows)) > BY_CHANCE:
            found.append(Exchanged(label, labels[best], int(counts[best]), len(rows)))
    return found if len({each.held_for for each in found}) > 1 else []


def _decided(
    task: str, known: int, outputs: Sequence["np.ndarray[Any, Any]"], targets: "np.ndarray[Any, Any]"
) -> tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]:
    """Returns what is true and what was said, where one known label out of several is."""
    if task == "entities":
        places = [np.flatnonzero(row[: len(logits)] > SKIP) for row, logits in zip(targets, outputs, strict=True)]
        truth = np.concatenate([row[place] for row, place in zip(targets, places, strict=True)])
        logits = np.concatenate([row[place] for row, place in zip(outputs, places, strict=True)])
    else:
        truth, logits = targets, np.stack(outputs)
    if task == "multi_label":
        single = truth.sum(1) == 1
        truth, logits = truth[single].argmax(1), logits[single]
    return truth, logits[:, :known].argmax(1)


def _lower(share: float, rows: int) -> float:
    """Returns the lower end of Wilson's interval of a share (JASA 22, 1927)."""
    spread = _Z * np.sqrt(share * (1 - share) / rows + _Z**2 / (4 * rows**2))
    return float((share + _Z**2 / (2 * rows) - spread) / (1 + _Z**2 / rows))
