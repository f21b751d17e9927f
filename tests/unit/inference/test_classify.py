"""Logits become calibrated probabilities, best first."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbiont.bundle import ClassificationHead
from symbiont.common.errors import IntegrityError
from symbiont.inference.classify import classify
from symbiont.inference.types import BundleInfo


def bundle(labels: int, temperature: float = 1.0, costs: tuple[tuple[float, ...], ...] = ()) -> BundleInfo:
    head = ClassificationHead(pooling="mean", hidden_size=4, num_labels=labels, costs=costs)
    return BundleInfo(head, tuple(f"l{i}" for i in range(labels)), temperature, "a" * 64, "c" * 64, 64)


def logits(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_it_is_the_softmax_over_the_temperature() -> None:
    best, second = classify(logits(0, 2), bundle(2, temperature=2.0), 0).classes
    assert (best.label, second.label) == ("l1", "l0")
    assert best.probability == pytest.approx(math.e / (1 + math.e), abs=1e-12)


@pytest.mark.parametrize(("top_k", "given_classes"), [(0, 3), (1, 1), (2, 2), (3, 3), (99, 3)])
def test_top_k(top_k: int, given_classes: int) -> None:
    classes = classify(logits(1, 3, 2), bundle(3), top_k).classes
    assert [c.label for c in classes] == ["l1", "l2", "l0"][:given_classes]


def test_equal_classes_keep_the_order_of_the_labels() -> None:
    assert [c.label for c in classify(logits(1, 1, 1), bundle(3), 0).classes] == ["l0", "l1", "l2"]


@pytest.mark.parametrize("top_k", [0, 1])
def test_what_is_answered_costs_least_and_probabilities_are_what_they_were(top_k: int) -> None:
    """To call the second label the first costs twenty, the other error one: from 1/21 on the second is answered."""
    dear = bundle(2, costs=((0.0, 1.0), (20.0, 0.0)))
    for least, label in ((math.log(20) - 0.01, "l1"), (math.log(20) + 0.01, "l0")):
        found = classify(logits(least, 0), dear, top_k)
        assert found.classes == classify(logits(least, 0), bundle(2), top_k).classes
        assert found.classes[0].label == "l0"
        assert found.decided.label == label
    assert found.decided == found.classes[0]


@given(st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=40))
def test_where_errors_cost_alike_the_most_probable_is_answered(values: list[float]) -> None:
    count = len(values)
    alike = tuple(tuple(float(row != column) for column in range(count)) for row in range(count))
    found = classify(logits(*values), bundle(count, costs=alike), 0)
    # Of two that are almost equal it may be either.
    assert found.decided.probability == pytest.approx(found.classes[0].probability, abs=1e-12)
    assert classify(logits(*values), bundle(count), 0).decided == found.classes[0]


@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=20), st.floats(0.01, 100))
def test_probabilities_add_up_whatever_the_logits(values: list[float], temperature: float) -> None:
    classes = classify(logits(*values), bundle(len(values), temperature), 0).classes
    probabilities = [c.probability for c in classes]
    assert sum(probabilities) == pytest.approx(1, abs=1e-9)
    assert probabilities == sorted(probabilities, reverse=True)


@pytest.mark.parametrize("values", [(1.0,), (1.0, 2.0, 3.0), (1.0, math.nan), (1.0, math.inf)])
def test_wrong_logits_are_never_an_answer(values: tuple[float, ...]) -> None:
    with pytest.raises(IntegrityError):
        classify(logits(*values), bundle(2), 0)
