"""Which rows a training learns, and which it is judged by.

Of a dataset a part is held out, by a function of seed and labels. A training that starts from a version is told which
trainings are behind that, and divides their rows as they did: a row that judged one of them is not learnt and judges
again, a row that one of them learnt is learnt, and only those that none has seen are split. Rows are known by their
texts, so that this holds for rows that are uploaded again in another dataset, and for those that a dataset has twice.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from symbiont.common.errors import InvalidArgument, NotFound
from symbiont.evaluation import row_id
from symbiont.training.data.rows import Label, Row
from symbiont.training.types import Past
from symbiont.training.worker.batches import draw, split_groups, split_holdout

Read = Callable[[str], Iterable[Row]]


@dataclass
class _Seen:
    """Rows on one side of all trainings so far, by their texts, and the groups that they are of."""

    rows: dict[bytes, Row] = field(default_factory=dict)
    groups: set[str] = field(default_factory=set)

    def add(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self.rows[_key(row)] = row
            self.groups |= {row.group} - {""}

    def __contains__(self, row: Row) -> bool:
        return bool(self.rows) and (_key(row) in self.rows or row.group in self.groups)


@dataclass(frozen=True)
class Divided:
    """Rows to learn from, of which the first `own` are of the dataset itself, and rows to judge by.

    `unknown`: the rows of a training before are gone, so that those which judged it may be learnt. `apart`: so many
    rows are neither, since their texts are on the other side.
    """

    kept: Sequence[Row]
    held: Sequence[Row]
    own: int
    unknown: bool = False
    apart: int = 0


def divide(read: Read, past: Sequence[Past], now: Past) -> Divided:
    """Divides the rows of a training.

    Args:
        read: gives the rows of a dataset; of a past training it may raise NotFound.
        past: the trainings behind this one, the first one first.
        now: this one.

    Raises:
        InvalidArgument: every row judged a training before.
    """
    learnt, judged, unknown = _Seen(), _Seen(), False
    for training in past:
        _forget_learnt(judged, learnt, training)
        try:
            found = _divided(read, training, learnt, judged)
        except NotFound:
            unknown = True
            continue
        learnt.add(found.kept)
        judged.add(found.held)
        # Of a group alone some rows are on either side: it tells nothing.
        both = learnt.groups & judged.groups
        learnt.groups -= both
        judged.groups -= both
    _forget_learnt(judged, learnt, now)
    divided = _divided(read, now, learnt, judged)
    if not divided.own:
        raise InvalidArgument("spec.dataset", "each of its rows judges, this version or one before: none may be learnt")
    return replace(divided, unknown=unknown)


def _forget_learnt(judged: _Seen, learnt: _Seen, training: Past) -> None:
    """Takes rows that a training before `by_text` both learnt and was judged by for learnt ones."""
    if training.by_text:
        for key in learnt.rows.keys() & judged.rows.keys():
            del judged.rows[key]


def _divided(read: Read, training: Past, learnt: _Seen, judged: _Seen) -> Divided:
    rows = list(read(training.dataset_digest))
    apart = 0
    if training.evaluation_dataset_digest:
        kept = [row for row in rows if row not in judged]
        held = list(read(training.evaluation_dataset_digest))
        if training.by_text:
            judging = {_key(row) for row in held}
            kept, before = [row for row in kept if _key(row) not in judging], kept
            apart = len(before) - len(kept)
    else:
        kept, held = _split(rows, training, learnt, judged)
        if training.by_text:
            known = {_key(row) for row in kept} | learnt.rows.keys()
            # Of a text that several groups have. Where it is so of all, there is nothing else to judge by.
            held, before = [row for row in held if _key(row) not in known] or held, held
            apart = len(before) - len(held)
    own = len(kept)
    if training.replay_digest:
        kept += _again(list(read(training.replay_digest)), training, {_key(row) for row in (*rows, *held)}, judged)
    return Divided(kept, held, own, apart=apart)


def _split(rows: Sequence[Row], training: Past, learnt: _Seen, judged: _Seen) -> tuple[list[Row], list[Row]]:
    unseen = [i for i, row in enumerate(rows) if row not in judged and row not in learnt]
    chosen = {unseen[i] for i in _held_out([rows[i] for i in unseen], training)}
    chosen |= {i for i, row in enumerate(rows) if row in judged}
    there = {_key(row) for row in rows} if judged.rows else set()
    kept = [row for i, row in enumerate(rows) if i not in chosen]
    held = [rows[i] for i in sorted(chosen)]
    # Without them, nobody would see what was forgotten.
    return kept, held + [row for key, row in judged.rows.items() if key not in there]


def _held_out(rows: Sequence[Row], training: Past) -> list[int]:
    if not rows:
        return []
    fraction = training.holdout_fraction or 0.2
    first: dict[bytes, int] = {}
    # The place of the first row of the same text stands for each.
    leaders = [first.setdefault(_key(row), place) if training.by_text else place for place, row in enumerate(rows)]
    if any(row.group for row in rows):
        named = [row.group or f"\0{leader}" for row, leader in zip(rows, leaders, strict=True)]
        return split_groups(named, fraction, training.seed)[1]
    units: defaultdict[int, list[int]] = defaultdict(list)
    for place, leader in enumerate(leaders):
        units[leader].append(place)
    places = list(units.values())
    names = strata([_label([rows[place] for place in unit]) for unit in places])
    chosen = split_holdout(names, fraction, training.seed, [len(unit) for unit in places])[1]
    if chosen:
        return [place for number in chosen for place in places[number]]
    # Each class is one text: to judge by it is better than to judge by nothing.
    return split_holdout(strata([row.label for row in rows]), fraction, training.seed)[1]


def _label(rows: Sequence[Row]) -> Label:
    """Returns the label that rows of one text are held out by. One that has two classes is of neither's share, so that
    no class is left without a text to learn from."""
    names = sorted({row.label for row in rows if isinstance(row.label, str)})
    return "|".join(names) if len(names) > 1 else rows[0].label


def _again(rows: Sequence[Row], training: Past, there: set[bytes], judged: _Seen) -> list[Row]:
    """Returns rows of an earlier dataset to learn again: none that judges, and none that is there anyway."""
    free = [row for row in rows if row not in judged and _key(row) not in there]
    wanted = training.replay_rows or max(round(len(free) * training.replay_share), 1)
    return [free[i] for i in draw(strata([row.label for row in free]), wanted, training.seed)]


def strata(labels: Sequence[Label]) -> list[str]:
    """Names labels so that rows of one name are alike: classes by theirs, numbers by their tenth, parts by kind."""
    numbers = [label for label in labels if isinstance(label, float)]
    edges = np.quantile(numbers, np.linspace(0.1, 0.9, 9)) if numbers else np.zeros(0)
    names = [_stratum(label, edges) for label in labels]
    counts = Counter(names)
    # A mixture that occurs once cannot be on both sides. A class that does is refused before this.
    return [
        name if counts[name] > 1 or isinstance(label, str) else "" for name, label in zip(names, labels, strict=True)
    ]


def _stratum(label: Label, edges: "np.ndarray[Any, Any]") -> str:
    if isinstance(label, str):
        return label
    if isinstance(label, float):
        return str(int(np.searchsorted(edges, label)))
    parts = [part if isinstance(part, str) else str(part[2:]) for part in label or ()]
    return "|".join(sorted(set(parts)))


def _key(row: Row) -> bytes:
    return row_id(row.text, row.pair)
