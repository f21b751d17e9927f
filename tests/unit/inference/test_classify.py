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


def bundle(labels: int, temperature: float = 1.0) -> BundleInfo:
    head = ClassificationHead(pooling="mean", hidden_size=4, num_labels=labels)
    return BundleInfo(head, tuple(f"l{i}" for i in range(labels)), temperature, "a" * 64, "c" * 64, 64)


def logits(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_it_is_the_softmax_over_the_temperature() -> None:
    best, second = classify(logits(0, 2), bundle(2, temperature=2.0), 0)
    assert (best.label, second.label) == ("l1", "l0")
    assert best.probability == pytest.approx(math.e / (1 + math.e), abs=1e-12)


@pytest.mark.parametrize(("top_k", "given_classes"), [(0, 3), (1, 1), (2, 2), (3, 3), (99, 3)])
def test_top_k(top_k: int, given_classes: int) -> None:
    classes = classify(logits(1, 3, 2), bundle(3), top_k)
    assert [c.label for c in classes] == ["l1", "l2", "l0"][:given_classes]


def test_equal_classes_keep_the_order_of_the_labels() -> None:
    assert [c.label for c in classify(logits(1, 1, 1), bundle(3), 0)] == ["l0", "l1", "l2"]


@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=20), st.floats(0.01, 100))
def test_probabilities_add_up_whatever_the_logits(values: list[float], temperature: float) -> None:
    classes = classify(logits(*values), bundle(len(values), temperature), 0)
    probabilities = [c.probability for c in classes]
    assert sum(probabilities) == pytest.approx(1, abs=1e-9)
    assert probabilities == sorted(probabilities, reverse=True)


@pytest.mark.parametrize("values", [(1.0,), (1.0, 2.0, 3.0), (1.0, math.nan), (1.0, math.inf)])
def test_wrong_logits_are_never_an_answer(values: tuple[float, ...]) -> None:
    with pytest.raises(IntegrityError):
        classify(logits(*values), bundle(2), 0)
