import numpy as np
import pytest

from support.outcomes import EVERY, classified, some_rows
from symbiont.common.errors import InvalidArgument
from symbiont.evaluation.bootstrap import Sampling, estimates, resampled
from symbiont.evaluation.metrics import primary
from symbiont.evaluation.outcomes import Classified, Outcome


@pytest.mark.parametrize("outcome", EVERY.values(), ids=EVERY)
def test_every_metric_has_an_interval_around_it(outcome: Outcome) -> None:
    found = estimates(outcome, sampling=Sampling(200))
    assert next(iter(found)) == primary(outcome)
    for name, value in found.items():
        assert value.low <= value.value <= value.high, name
        assert value.low < value.high, name


def test_the_same_seed_gives_the_same_interval() -> None:
    outcome = classified(200)
    assert estimates(outcome, sampling=Sampling(50)) == estimates(outcome, sampling=Sampling(50))
    assert estimates(outcome, sampling=Sampling(50)) != estimates(outcome, sampling=Sampling(50, seed=1))


def test_a_wider_confidence_is_a_wider_interval() -> None:
    outcome = classified(200)
    narrow, wide = (estimates(outcome, ("accuracy",), Sampling(confidence=c))["accuracy"] for c in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def of_accuracy(right: "np.ndarray", groups: "list[str] | tuple[()]" = ()) -> Classified:
    logits = np.stack([~right, right], axis=1).astype(np.float32)
    return Classified(some_rows(len(right), groups=groups, slices={}), ("a", "b"), logits, np.ones(len(right), int))


def test_the_interval_covers_what_it_says() -> None:
    random, inside = np.random.default_rng(0), 0
    for trial in range(400):
        found = estimates(of_accuracy(random.random(200) < 0.8), ("accuracy",), Sampling(400, seed=trial))["accuracy"]
        inside += found.low <= 0.8 <= found.high
    # Nominal 95 %: of 400 trials, three standard deviations to either side are 3.3 points.
    assert 0.915 <= inside / 400 <= 0.983


def test_rows_of_one_group_come_and_go_together() -> None:
    random, inside, alone = np.random.default_rng(1), 0, 0
    for trial in range(150):
        # All rows of a customer are right or wrong: 40 draws, not 400.
        right = np.repeat(random.random(40) < 0.7, 10)
        groups = [f"customer {i // 10}" for i in range(400)]
        by_group, by_row = (
            estimates(of_accuracy(right, names), ("accuracy",), Sampling(300, seed=trial))["accuracy"]
            for names in (groups, ())
        )
        inside += by_group.low <= 0.7 <= by_group.high
        alone += by_row.low <= 0.7 <= by_row.high
    assert 0.88 <= inside / 150 <= 0.99
    assert alone / 150 < 0.6


def test_weights_of_a_group_are_equal() -> None:
    (weights,) = resampled(6, np.array([5, 5, 7, 7, 7, 9]), Sampling(20))
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 2] == weights[:, 4]).all()
    assert (weights[:, [0, 2, 5]].sum(axis=1) == 3).all()


def test_no_error_is_no_proof_that_there_are_none() -> None:
    found = estimates(of_accuracy(np.ones(50, bool)), ("accuracy",))["accuracy"]
    assert found.value == found.high == 1
    assert found.low == pytest.approx(0.9289, abs=1e-3)


def test_without_rows_nothing_is_known() -> None:
    assert estimates(classified(4).take(np.zeros(0, int))) == {}


def test_what_cannot_be_sampled_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="replicate"):
        Sampling(replicates=0)
    with pytest.raises(InvalidArgument, match="metric"):
        estimates(classified(10), ("mae",))
