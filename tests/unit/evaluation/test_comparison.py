from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from support.outcomes import EVERY, classified, costly, multi_labelled, retrieved, scored, some_rows, tagged
from symbiont.common.errors import InvalidArgument
from symbiont.evaluation.aligning import align
from symbiont.evaluation.bootstrap import Sampling
from symbiont.evaluation.comparison import compare, mcnemar
from symbiont.evaluation.outcomes import Classified, MultiLabelled, Outcome, Tagged

FEW = Sampling(200)


@pytest.mark.parametrize("outcome", EVERY.values(), ids=EVERY)
def test_a_version_is_as_good_as_itself_in_another_order(outcome: Outcome) -> None:
    order = np.random.default_rng(0).permutation(len(outcome))
    found = compare(outcome, outcome.take(order), FEW)
    assert found.rows == len(outcome)
    for difference in found.differences:
        assert difference.gain.value == pytest.approx(0), difference.metric
        assert -0.1 < difference.gain.low <= 0 <= difference.gain.high < 0.1, difference.metric
    if found.mcnemar:
        assert (found.mcnemar.only_candidate, found.mcnemar.only_incumbent, found.mcnemar.p_value) == (0, 0, 1)


def test_rows_are_found_by_their_texts() -> None:
    outcome = classified(100)
    both = align(outcome.take(np.arange(60)), outcome.take(np.arange(99, 39, -1)))
    assert len(both.candidate) == 20
    assert (both.only_candidate, both.only_incumbent) == (40, 40)
    assert np.array_equal(both.candidate.rows.ids, both.incumbent.rows.ids)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="another task"):
        align(classified(), scored())
    with pytest.raises(InvalidArgument, match="any row"):
        align(
            classified(), replace(classified(), rows=some_rows(400).take(np.arange(400)), **{}).take(np.zeros(0, int))
        )


def test_a_label_that_was_corrected_since() -> None:
    old = classified(200)
    truth = old.truth.copy()
    truth[:20] = (truth[:20] + 1) % 3
    both = align(replace(old, truth=truth), old)
    assert isinstance(both.incumbent, Classified)
    assert np.array_equal(both.incumbent.truth, truth)


def test_labels_in_another_order_and_new_ones() -> None:
    old = classified(200, ("a", "b"))
    wide = np.concatenate([old.logits[:, ::-1], np.full((200, 1), -9, np.float32)], axis=1)
    new = Classified(old.rows, ("b", "a", "c"), wide, 1 - old.truth)
    both = align(new, old)
    assert isinstance(both.incumbent, Classified)
    assert both.incumbent.labels == ("b", "a", "c")
    assert compare(new, old, FEW).differences[0].gain.value == 0


def test_both_are_judged_by_what_answers_cost_the_candidate() -> None:
    new = costly(200)
    assert isinstance(new, Classified)
    old = replace(new, answered=new.answered[:0], costs=())
    found = {each.metric: each for each in compare(new, old, FEW).differences}
    assert found["mean_cost"].candidate < found["mean_cost"].incumbent
    assert found["mean_cost"].gain.value > 0 > found["accuracy"].gain.value
    assert "mean_cost" not in {each.metric for each in compare(old, new, FEW).differences}


def test_answers_and_costs_keep_their_labels() -> None:
    old = costly(200)
    names = ("maybe", "no", "other", "yes")
    wide = np.full((200, 4), -30, np.float32)
    place = np.array([names.index(label) for label in old.labels])
    wide[:, place] = old.logits
    new = Classified(old.rows, names, wide, place[old.truth])
    both = align(old, new)
    assert isinstance(both.candidate, Classified)
    assert both.candidate.labels == ("no", "yes", "maybe", "other")
    assert both.candidate.costs[1] == (20, 0, 20, 1)
    assert both.candidate.costs[3] == (1, 1, 1, 0)
    back = align(new, replace(old, costs=()))
    assert isinstance(back.incumbent, Classified)
    assert np.array_equal(back.incumbent.answered, place[old.answered])


def test_labels_that_hold_or_not_and_types_too() -> None:
    old = multi_labelled(100, ("a", "b"))
    new = MultiLabelled(old.rows, ("b", "a"), old.logits[:, ::-1], old.truth[:, ::-1])
    assert compare(new, old, FEW).differences[0].gain.value == 0
    parts = tagged(100)
    more = Tagged(parts.rows, ("LOC", *parts.types), *(replace_types(part) for part in (parts.predicted, parts.truth)))
    found = compare(more, parts, FEW)
    assert found.differences[0].gain.value == 0
    assert {part.value for part in found.classes} == {"PER", "ORG"}


def replace_types(part):
    return replace(part, values=part.values + np.array([0, 0, 1]))


def worse(outcome: Classified, rows: "np.ndarray", to: int) -> Classified:
    logits = outcome.logits.copy()
    logits[rows] = np.eye(len(outcome.labels), dtype=np.float32)[to] * 9
    return replace(outcome, logits=logits)


def better(outcome: Classified, rows: "np.ndarray") -> Classified:
    logits = outcome.logits.copy()
    logits[rows] = np.eye(len(outcome.labels), dtype=np.float32)[outcome.truth[rows]] * 9
    return replace(outcome, logits=logits)


def test_a_gain_and_where_it_is() -> None:
    old = classified(600, seed=8)
    new = better(old, np.flatnonzero(old.truth == 1))
    found = compare(new, old)
    first = found.differences[0]
    assert first.metric == "accuracy"
    assert 0 < first.gain.low < first.gain.value < first.gain.high
    assert first.gain.value == pytest.approx(first.candidate - first.incumbent)
    loss = next(difference for difference in found.differences if difference.metric == "log_loss")
    assert loss.gain.value > 0
    assert loss.candidate < loss.incumbent
    recalls = {part.value: part.difference for part in found.classes}
    assert recalls["yes"].candidate == 1
    assert recalls["no"].gain.value == 0
    assert {part.name for part in found.slices} == {"language", "price", "length"}


def test_the_interval_of_a_difference_is_that_of_pairs() -> None:
    old = classified(1000, seed=9)
    new = better(old, np.arange(0, 1000, 40))
    found = compare(new, old).differences[0].gain
    # Of versions that answer most rows alike, the difference is known better than either.
    change = (new.logits.argmax(1) == new.truth).astype(float) - (old.logits.argmax(1) == old.truth)
    half = 1.96 * change.std() / np.sqrt(1000)
    assert (found.low, found.high) == pytest.approx((change.mean() - half, change.mean() + half), abs=0.004)


@pytest.mark.parametrize(("one", "other"), [(0, 0), (3, 1), (0, 7), (12, 12), (5, 19)])
def test_mcnemar_is_exact_for_few(one: int, other: int) -> None:
    expected = stats.binomtest(one, one + other).pvalue if one + other else 1
    assert mcnemar(one, other).p_value == pytest.approx(expected)


def test_mcnemar_of_many() -> None:
    expected = stats.chi2.sf((abs(40 - 20) - 1) ** 2 / 60, 1)
    assert mcnemar(40, 20).p_value == pytest.approx(expected)
    assert mcnemar(30, 30).p_value == 1


def test_few_rows_that_do_not_differ_prove_little() -> None:
    outcome = classified(20)
    gain = compare(outcome, outcome).differences[0].gain
    assert gain.value == 0
    assert gain.low == pytest.approx(-0.168, abs=1e-3)
    assert gain.high == pytest.approx(0.168, abs=1e-3)


def test_a_search_among_other_texts_is_no_comparison() -> None:
    outcome = retrieved()
    with pytest.raises(InvalidArgument, match="other texts"):
        align(outcome, replace(outcome, candidates=60))
