"""Rows of classes and labels come to something that can be compared; others do not."""

from dataclasses import replace

import numpy as np
import pytest

from symbiont.bundle import MultiLabelHead, ScoreHead
from symbiont.common.errors import Unavailable
from symbiont.inference.classify import sigmoid
from symbiont.inference.releases.verdict import Verdict, verdict
from symbiont.inference.types import BundleInfo

VALUES = np.array([0.0, 4.0, 2.0], np.float32)


def test_the_best_class(info: BundleInfo) -> None:
    found = verdict(VALUES, info)
    assert found is not None
    shares = np.exp(VALUES / 2) / np.exp(VALUES / 2).sum()
    assert found == ("yes", pytest.approx(float(shares[1])))


@pytest.mark.parametrize("values", [VALUES[:2], np.array([0, np.nan, 1], np.float32), Unavailable("gone")])
def test_no_answer_is_no_verdict(info: BundleInfo, values: object) -> None:
    assert verdict(values, info) is None  # type: ignore[arg-type]


def test_all_labels_that_hold(info: BundleInfo) -> None:
    head = MultiLabelHead(pooling="mean", hidden_size=4, num_labels=3, thresholds=(0.4, 0.5, 0.5))
    bundle = replace(info, head=head)
    high, middle = sigmoid(VALUES[1:], info.temperature)
    assert (high > middle, middle > 0.5) == (True, True)
    assert verdict(VALUES, bundle) == Verdict("no, perhaps, yes", pytest.approx(high))
    assert verdict(np.full(3, -9, np.float32), bundle) == Verdict("", 0.0)


def test_a_score_has_no_label(info: BundleInfo) -> None:
    bundle = replace(info, head=ScoreHead(pooling="mean", hidden_size=4, link="identity"), labels=())
    assert verdict(np.array([1.5], np.float32), bundle) is None
