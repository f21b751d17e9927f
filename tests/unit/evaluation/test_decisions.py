import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.outcomes import classified
from symbiont.common.errors import InvalidArgument
from symbiont.evaluation.decisions import Costs, decide, judge_decisions, label_thresholds, thresholds

# A fraud that is let through costs 10, a check of an honest customer 1.
FRAUD = Costs(((0.0, 1.0), (10.0, 0.0)), ("honest", "fraud"))


def test_the_threshold_of_two_classes() -> None:
    honest, fraud = thresholds(FRAUD)
    assert fraud == pytest.approx(1 / 11)
    assert honest == pytest.approx(10 / 11)
    probabilities = np.array([[1 - p, p] for p in (0.08, 0.1, 0.5)])
    assert decide(probabilities, FRAUD).tolist() == [0, 1, 1]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_above_its_threshold_a_class_is_decided(seed: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    matrix = random.random((classes, classes)) * (1 - np.eye(classes))
    costs = Costs(tuple(tuple(line) for line in matrix.tolist()), tuple(map(str, range(classes))))
    every = random.dirichlet(np.full(classes, 0.3), 300)
    chosen = decide(every, costs)
    for place, least in enumerate(thresholds(costs)):
        assert (chosen[every[:, place] > least + 1e-9] == place).all()


def test_deciding_by_costs_is_cheaper_where_probabilities_are_honest() -> None:
    outcome = classified(4000, ("honest", "fraud"), seed=1)
    found = judge_decisions(outcome, FRAUD)
    assert found.likeliest is not None
    assert found.cost < found.likeliest
    assert found.cost < found.always_cost
    assert found.always == "fraud"
    assert found.expected == pytest.approx(found.cost, abs=0.05)
    assert sum(count for _, count in found.counts) == 4000


def test_decisions_may_be_other_than_classes() -> None:
    costs = Costs(((0.0, 1.0, 0.3), (10.0, 0.0, 0.3)), ("pass", "refuse", "ask"))
    found = judge_decisions(classified(500, ("honest", "fraud"), seed=1), costs)
    assert found.likeliest is None
    assert dict(found.counts)["ask"] > 0
    with pytest.raises(InvalidArgument, match="one decision per class"):
        thresholds(costs)


def test_thresholds_of_labels() -> None:
    assert label_thresholds(("a", "b"), missed=(1, 9), false=(1, 1)) == (0.5, 0.1)
    with pytest.raises(InvalidArgument, match="above 0"):
        label_thresholds(("a",), missed=(0,), false=(1,))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="costs"):
        Costs(((0.0,), (1.0, 2.0)), ("a", "b"))
    with pytest.raises(InvalidArgument, match="finite"):
        Costs(((0.0, float("nan")),), ("a", "b"))
    with pytest.raises(InvalidArgument, match="2 lines for 3 classes"):
        judge_decisions(classified(10), FRAUD)
