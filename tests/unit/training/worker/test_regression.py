"""How each class changed, of every task that has classes; what fell beyond chance is named."""

import numpy as np

from symbiont.training.data.rows import Row
from symbiont.training.heads.entities import SKIP
from symbiont.training.types import LogLine, Warning
from symbiont.training.worker.regression import class_changes, said_of

ROWS = [Row(f"row {n}") for n in range(60)]


def eye(said: list[int], width: int) -> list[np.ndarray]:
    return [np.eye(width, dtype=np.float32)[place] for place in said]


def test_classes_with_one_that_is_new() -> None:
    truth = [0] * 20 + [1] * 20 + [2] * 20
    new = eye([0] * 20 + [1] * 5 + [0] * 15 + [2] * 20, 3)
    old = eye([0] * 20 + [1] * 18 + [0] * 2 + [1] * 20, 2)
    changes = {c.label: c for c in class_changes("classification", ROWS, ("a", "b", "c"), new, old, truth)}
    assert {label: (c.before, c.after) for label, c in changes.items()} == {
        "a": (1.0, 1.0),
        "b": (0.9, 0.25),
        "c": (0.0, 1.0),
    }
    assert {(c.metric, c.row_count) for c in changes.values()} == {("recall", 20)}
    assert [label for label, c in changes.items() if c.worse] == ["b"]
    line, warning = said_of(list(changes.values()), "models/m/versions/1")
    assert isinstance(line, LogLine)
    assert line.text.startswith("against models/m/versions/1, on the same rows: recall of 'b' 0.900 -> 0.250; ")
    assert isinstance(warning, Warning)
    assert warning.code == "CLASS_WORSE"
    assert "'b'" in warning.text
    assert "'a'" not in warning.text


def test_a_change_that_chance_explains_is_no_fall() -> None:
    truth = [0] * 30 + [1] * 30
    new, old = eye([0] * 28 + [1] * 32, 2), eye([0] * 29 + [1] * 31, 2)
    changes = class_changes("classification", ROWS, ("a", "b"), new, old, truth)
    assert changes[0].after < changes[0].before
    assert not any(change.worse for change in changes)
    assert [type(said) for said in said_of(changes, "models/m/versions/1")] == [LogLine]


def test_labels_that_each_hold() -> None:
    truth = np.array([[1, 0], [0, 1], [1, 1]] * 20)
    new, old = [row * 2.0 - 1 for row in truth], [np.array([1.0, -1.0])] * 60
    changes = class_changes("multi_label", ROWS, ("a", "b"), new, old, truth)
    assert [(c.label, c.metric, c.after) for c in changes] == [("a", "f1", 1.0), ("b", "f1", 1.0)]
    assert (changes[1].before, changes[1].row_count) == (0.0, 40)


def test_named_parts() -> None:
    tags = ("O", "B-x", "I-x", "B-y", "I-y")
    truth = np.array([[SKIP, 1, 2, 0, SKIP]] * 60)
    new = [np.stack(eye([0, 1, 2, 0], 5))] * 60
    old = [np.stack(eye([0, 1, 0, 0], 3))] * 60
    changes = {c.label: c for c in class_changes("entities", ROWS, tags, new, old, truth)}
    assert (changes["x"].before, changes["x"].after) == (0.0, 1.0)


def test_tasks_without_classes_have_none() -> None:
    assert class_changes("score", ROWS, (), [], [], []) == ()
    assert list(said_of((), "models/m/versions/1")) == []
