"""Ways in which rows give their label away: a business field, the edge of a text, the label's own word in it.

A model that learns from such rows is right on all of them, and wrong in use, where the field or the word is not there.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from sklearn.model_selection import StratifiedKFold  # type: ignore[import-untyped]
from sklearn.tree import DecisionTreeClassifier  # type: ignore[import-untyped]

from symbiont.training.data.rows import FieldValue, LabelKind, Row
from symbiont.training.gate.classes import classes_of
from symbiont.training.gate.features import Ints
from symbiont.training.gate.results import Leak

# Of the way from the share of the largest class to being right always.
_TOO_GOOD = 0.8
# An edge of a text is found in so many rows of a class at least, and its word in so few rows of others at most.
_IN_CLASS, _ELSEWHERE = 0.5, 0.05
_LEAST_ROWS = 20
_FOLDS = 5


def leaks(rows: Sequence[Row], kind: LabelKind) -> list[Leak]:
    """Returns what gives the classes of rows away, worst first; nothing where labels are no classes, or rows few."""
    classes = classes_of(rows, kind, least=_FOLDS)
    if not classes.enough or len(classes.rows) < _LEAST_ROWS:
        return []
    chosen = [rows[place] for place in classes.rows.tolist()]
    majority = float(np.bincount(classes.numbers).max() / len(chosen))
    found: list[Leak] = []
    for what, name, values in _columns(chosen):
        if len(set(values)) < 2:
            continue
        accuracy = _accuracy(values, classes.numbers)
        if (accuracy - majority) / (1 - majority) >= _TOO_GOOD:
            found.append(Leak(what, name, accuracy, majority))
    return sorted([*found, *_words(chosen)], key=lambda leak: (-leak.accuracy, leak.kind, leak.name))


def _columns(rows: Sequence[Row]) -> Iterator[tuple[str, str, list[FieldValue | None]]]:
    for name in sorted({name for row in rows for name in row.fields}):
        yield "FIELD", name, [row.fields.get(name) for row in rows]
    edges: tuple[tuple[str, Callable[[str], str]], ...] = (("beginning", _first), ("end", _last))
    for name, edge in edges:
        yield "TEXT_EDGE", name, [edge(row.text) for row in rows]


def _first(text: str) -> str:
    """The first word, or where there are no spaces the first characters."""
    return text.split(maxsplit=1)[0][:4].casefold() if text.strip() else ""


def _last(text: str) -> str:
    return text.split()[-1][-4:].casefold() if text.strip() else ""


def _accuracy(values: Sequence[FieldValue | None], classes: Ints) -> float:
    """Returns how often one column is right about rows that it has not learned from."""
    numeric = all(isinstance(value, int | float) for value in values if value is not None)
    right = 0
    splits = StratifiedKFold(_FOLDS, shuffle=True, random_state=0).split(classes, classes)
    for learned, asked in splits:
        predict = _tree if numeric else _table
        right += int((predict(values, classes, learned, asked) == classes[asked]).sum())
    return right / len(classes)


def _tree(values: Sequence[FieldValue | None], classes: Ints, learned: Ints, asked: Ints) -> Ints:
    # The tree computes in fp32, and sums: larger numbers are as large as it gets.
    column = np.array([[np.nan if value is None else float(value)] for value in values]).clip(-1e30, 1e30)
    tree = DecisionTreeClassifier(max_depth=4, min_samples_leaf=2, random_state=0)
    made: Ints = tree.fit(column[learned], classes[learned]).predict(column[asked])
    return made


def _table(values: Sequence[FieldValue | None], classes: Ints, learned: Ints, asked: Ints) -> Ints:
    seen: defaultdict[FieldValue | None, Counter[int]] = defaultdict(Counter)
    for place in learned.tolist():
        seen[values[place]][int(classes[place])] += 1
    usual = int(np.bincount(classes[learned]).argmax())
    made = [seen[values[p]].most_common(1)[0][0] if values[p] in seen else usual for p in asked.tolist()]
    return np.array(made, np.int64)


def _words(rows: Sequence[Row]) -> Iterator[Leak]:
    texts = [row.text.casefold() for row in rows]
    labels = [str(row.label) for row in rows]
    for name in sorted(set(labels)):
        word = name.casefold().replace("_", " ").replace("-", " ").strip()
        if len(word) < 2:
            continue
        inside = [word in text for text in texts]
        own = [there for there, label in zip(inside, labels, strict=True) if label == name]
        others = [there for there, label in zip(inside, labels, strict=True) if label != name]
        share, elsewhere = float(np.mean(own)), float(np.mean(others))
        if share >= _IN_CLASS and elsewhere <= _ELSEWHERE:
            yield Leak("LABEL_IN_TEXT", name, share, elsewhere)
