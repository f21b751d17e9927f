"""What a model said on held-out rows, beside what is true, for each task; no texts."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from symbiont.bundle.heads import Task
from symbiont.common.errors import InvalidArgument
from symbiont.evaluation.arrays import Bools, Floats, Ints
from symbiont.evaluation.rows import Rows

Logits = npt.NDArray[np.float32]


def _no_floats() -> Floats:
    return np.zeros(0)


def _no_ints() -> Ints:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class Ragged:
    """Any number of entries for each row: those of row i are `values[offsets[i]:offsets[i + 1]]`, values [all, k]."""

    offsets: Ints
    values: Ints

    def __post_init__(self) -> None:
        steps = np.diff(self.offsets, prepend=0, append=len(self.values))
        if self.values.ndim != 2 or not len(self.offsets) or self.offsets[0] != 0 or (steps < 0).any() or steps[-1]:
            raise InvalidArgument("offsets", "must begin at 0, never fall, and end at the number of values")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def of(self, row: int) -> Ints:
        """Returns the entries of a row, [some, k]."""
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def take(self, index: Ints) -> "Ragged":
        """Returns the entries of some rows."""
        return ragged([self.of(row).tolist() for row in index.tolist()], self.values.shape[1])


def ragged(rows: Sequence[Sequence[Sequence[int]]], width: int) -> Ragged:
    """Returns entries of `width` numbers each, given row by row."""
    offsets = np.cumsum([0, *(len(row) for row in rows)])
    flat = [entry for row in rows for entry in row]
    return Ragged(offsets.astype(np.int64), np.asarray(flat, np.int64).reshape(-1, width))


@dataclass(frozen=True, eq=False)
class Outcome:
    """What all tasks have in common. In every kind, arrays have one entry per row, in the order of `rows`."""

    task: ClassVar[Task]
    rows: Rows

    def __post_init__(self) -> None:
        for name, part in self._by_row():
            if len(part) != len(self):
                raise InvalidArgument(name, f"has {len(part)} entries for {len(self)} rows")
            if isinstance(part, np.ndarray) and part.dtype.kind == "f" and not np.isfinite(part).all():
                raise InvalidArgument(name, "has values that are not finite")
        self._check()

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: Ints) -> Self:
        """Returns the outcome on some rows, in the order of `index`."""
        parts = self._by_row()
        chosen = {name: part[index] if isinstance(part, np.ndarray) else part.take(index) for name, part in parts}
        return replace(self, rows=self.rows.take(index), **chosen)

    def _by_row(self) -> list[tuple[str, "npt.NDArray[np.generic] | Ragged"]]:
        """Returns the fields that have an entry per row; an array without any is a value that was not given."""
        there = [(part.name, getattr(self, part.name)) for part in fields(self)]
        optional = {"answered", "confidence"}
        return [
            (name, value)
            for name, value in there
            if isinstance(value, np.ndarray | Ragged) and (name not in optional or len(value))
        ]

    def _check(self) -> None:
        """Raises InvalidArgument where the parts do not fit each other."""


def _check_codes(name: str, codes: Ints, count: int) -> None:
    if len(codes) and (codes.min() < 0 or codes.max() >= count):
        raise InvalidArgument(name, f"has numbers that are not of one of the {count} labels")


@dataclass(frozen=True, eq=False)
class Classified(Outcome):
    """One class out of several: `logits` [rows, labels], `truth` [rows] places in `labels`.

    Probabilities are the softmax of logits / temperature. `answered` [rows] are the places of what was answered; empty:
    the likeliest. `costs` say what that costs, [true][answered]; empty: it is not known.
    """

    task = "classification"
    labels: tuple[str, ...]
    logits: Logits
    truth: Ints
    temperature: float = 1.0
    answered: Ints = field(default_factory=_no_ints)
    costs: tuple[tuple[float, ...], ...] = ()

    def _check(self) -> None:
        if self.logits.shape != (len(self), len(self.labels)):
            raise InvalidArgument("logits", "must be [rows, labels]")
        _check_codes("truth", self.truth, len(self.labels))
        _check_codes("answered", self.answered, len(self.labels))
        if self.costs and [len(line) for line in self.costs] != [len(self.labels)] * len(self.labels):
            raise InvalidArgument("costs", "must be [labels, labels]")


@dataclass(frozen=True, eq=False)
class MultiLabelled(Outcome):
    """Labels that each hold or not: `logits` and `truth` [rows, labels].

    Probabilities are the sigmoid of logits / temperature; `thresholds`, one per label, say from which a label holds.
    Empty: 0.5 for all.
    """

    task = "multi_label"
    labels: tuple[str, ...]
    logits: Logits
    truth: Bools
    temperature: float = 1.0
    thresholds: tuple[float, ...] = ()

    def _check(self) -> None:
        if self.logits.shape != (len(self), len(self.labels)) or self.truth.shape != self.logits.shape:
            raise InvalidArgument("logits", "and truth must be [rows, labels]")
        if len(self.thresholds) not in (0, len(self.labels)):
            raise InvalidArgument("thresholds", "needs none or one per label")


@dataclass(frozen=True, eq=False)
class Scored(Outcome):
    """A number: `predicted` and `truth` [rows]."""

    task = "score"
    predicted: Floats
    truth: Floats


@dataclass(frozen=True, eq=False)
class Tagged(Outcome):
    """Named parts of texts: `predicted` and `truth` hold (start, end, place in `types`) in code points.

    `confidence` [rows] is the least probability of what was decided for a row's words; empty where it is not known.
    """

    task = "entities"
    types: tuple[str, ...]
    predicted: Ragged
    truth: Ragged
    confidence: Floats = field(default_factory=_no_floats)

    def _check(self) -> None:
        for name, part in (("predicted", self.predicted), ("truth", self.truth)):
            if part.values.shape[1] != 3:
                raise InvalidArgument(name, "needs start, end and type of each part")
            _check_codes(name, part.values[:, 2], len(self.types))


@dataclass(frozen=True, eq=False)
class Answered(Outcome):
    """Questions about a context, judged when the outcome was made, for texts are not kept.

    `exact` and `f1` [rows] are between 0 and 1, `answerable` [rows] whether there is an answer. `confidence` [rows] is
    the probability of what was answered; empty where it is not known.
    """

    task = "spans"
    exact: Floats
    f1: Floats
    answerable: Bools
    confidence: Floats = field(default_factory=_no_floats)


@dataclass(frozen=True, eq=False)
class Retrieved(Outcome):
    """Queries: `ranks` are the places, from 1, of what is relevant to each among `candidates` texts, ascending."""

    task = "embedding"
    ranks: Ragged
    candidates: int

    def _check(self) -> None:
        if self.ranks.values.shape[1] != 1 or (np.diff(self.ranks.offsets) == 0).any():
            raise InvalidArgument("ranks", "every query needs something that is relevant to it")


@dataclass(frozen=True, eq=False)
class Compared(Outcome):
    """Pairs of texts: the `predicted` similarity of each [rows], and the `truth` [rows], which only its order tells."""

    task = "embedding"
    predicted: Floats
    truth: Floats
