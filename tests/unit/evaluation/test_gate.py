from dataclasses import replace

import numpy as np
import pytest

from support.outcomes import classified, scored
from symbiont.common.errors import InvalidArgument
from symbiont.evaluation.bootstrap import Sampling
from symbiont.evaluation.gate import (
    CalibrationLimit,
    Evidence,
    Floor,
    Gate,
    LatencyLimit,
    MinimumGain,
    NoClassWorse,
    NoSliceWorse,
    NotWorse,
    Rule,
    SliceFloor,
)
from symbiont.evaluation.outcomes import Classified

FEW = Sampling(300)


def answering(outcome: Classified, right: "np.ndarray") -> Classified:
    """A version that gets exactly these rows right."""
    said = np.where(right, outcome.truth, (outcome.truth + 1) % len(outcome.labels))
    return replace(outcome, logits=3 * np.eye(len(outcome.labels), dtype=np.float32)[said])


def planted() -> tuple[Classified, Classified]:
    """A candidate that is better by ten points, and worse by twenty where the language is de."""
    outcome, random = classified(1500, seed=11), np.random.default_rng(11)
    language = next(part for part in outcome.rows.slices if part.name == "language")
    in_de = language.codes == language.values.index("de")
    chance = random.random(1500)
    return answering(outcome, chance < np.where(in_de, 0.6, 0.95)), answering(outcome, chance < 0.8)


def judge(rule: Rule, candidate: Classified, incumbent: Classified | None = None, **more: float) -> tuple[bool, str]:
    verdict = Gate(rules=(rule,)).judge(Evidence(candidate, incumbent, sampling=FEW, **more))
    return verdict.passed, verdict.results[0].words["en"]


def test_better_overall_and_worse_on_one_slice_is_refused_by_name() -> None:
    candidate, incumbent = planted()
    gate = Gate(rules=(MinimumGain(), NoSliceWorse(by=0.05, support=50), CalibrationLimit(value=0.5)))
    verdict = gate.judge(Evidence(candidate, incumbent, sampling=FEW))
    assert [result.passed for result in verdict.results] == [True, False, True]
    assert not verdict.passed
    (reason,) = verdict.reasons()
    assert "language is de" in reason
    assert "points" in reason
    assert "en" not in [word.strip(",;") for word in reason.split()]
    assert "language = de" in verdict.reasons("zh")[0]


def test_a_slice_with_too_few_rows_is_not_looked_at() -> None:
    candidate, incumbent = planted()
    assert judge(NoSliceWorse(by=0.05, support=1500), candidate, incumbent)[0]
    assert judge(NoSliceWorse(by=0.05, support=200, slices=("length",)), candidate, incumbent)[0]


def test_a_fall_by_chance_is_no_fall_for_one_who_is_sure() -> None:
    outcome = classified(60, seed=3)
    random = np.random.default_rng(0)
    versions = [answering(outcome, random.random(60) < 0.8) for _ in range(2)]
    assert not judge(NoSliceWorse(by=0.0, support=5), *versions)[0]
    assert judge(NoSliceWorse(by=0.0, support=5, sure=True), *versions)[0]


def test_gain_and_margin() -> None:
    outcome = classified(1000, seed=12)
    chance = np.random.default_rng(1).random(1000)
    old, same, up = (answering(outcome, chance < level) for level in (0.8, 0.8, 0.83))
    assert judge(MinimumGain(), up, old)[0]
    assert not judge(MinimumGain(gain=0.05), up, old)[0]
    assert not judge(MinimumGain(), old, up)[0]
    assert judge(NotWorse(margin=0.01), same, old)[0]
    assert judge(NotWorse(margin=0.1), old, up)[0]
    passed, words = judge(NotWorse(margin=0.02), old, up)
    assert not passed
    assert "-2.0 points is asked" in words
    assert judge(MinimumGain(metric="log_loss"), up, old)[0]


def test_floors() -> None:
    candidate, _ = planted()
    assert judge(Floor(value=0.7), candidate)[0]
    passed, words = judge(Floor(value=0.99), candidate)
    assert not passed
    assert "99.0%" in words
    value = float((candidate.logits.argmax(axis=1) == candidate.truth).mean())
    assert judge(Floor(value=value), candidate)[0]
    assert not judge(Floor(value=value, sure=True), candidate)[0]
    passed, words = judge(SliceFloor(value=0.8), candidate)
    assert not passed
    assert "language is de" in words
    assert judge(SliceFloor(value=0.8, support=200, slices=("length",)), candidate)[0]


def test_a_limit_where_less_is_better() -> None:
    outcome = scored(300)
    evidence = Evidence(outcome, sampling=FEW)
    assert Gate(rules=(Floor(metric="mae", value=0.7),)).judge(evidence).passed
    assert not Gate(rules=(Floor(metric="mae", value=0.3),)).judge(evidence).passed
    assert not Gate(rules=(SliceFloor(metric="mae", value=0.2),)).judge(evidence).passed


def test_classes() -> None:
    outcome = classified(900, seed=13)
    chance = np.random.default_rng(2).random(900)
    old = answering(outcome, chance < 0.8)
    new = answering(outcome, chance < np.where(outcome.truth == 2, 0.5, 0.95))
    passed, words = judge(NoClassWorse(by=0.1), new, old)
    assert not passed
    assert "maybe" in words
    assert judge(NoClassWorse(by=0.5), new, old)[0]


def test_probabilities_and_latency() -> None:
    outcome = classified(2000, seed=14)
    sure = replace(outcome, logits=outcome.logits * 5)
    assert judge(CalibrationLimit(value=0.05), outcome)[0]
    assert not judge(CalibrationLimit(value=0.05), sure)[0]
    assert judge(CalibrationLimit(value=0.05, calibrated=True), sure)[0]
    assert judge(LatencyLimit(p99_ms=20), outcome, p99_ms=19.5)[0]
    assert not judge(LatencyLimit(p99_ms=20), outcome, p99_ms=20.5)[0]


def test_what_cannot_be_judged_is_not_kept() -> None:
    assert judge(LatencyLimit(p99_ms=20), classified(50)) == (False, "how fast it answers was not measured")
    assert not Gate(rules=(CalibrationLimit(value=1),)).judge(Evidence(scored())).passed
    with pytest.raises(InvalidArgument, match="mae"):
        judge(Floor(metric="mae", value=1), classified(50))


@pytest.mark.parametrize(
    "rule", [NoSliceWorse(by=0.5, slices=("langauge",)), SliceFloor(value=0.1, slices=("language", "langauge"))]
)
def test_a_slice_that_rows_do_not_differ_by_is_named_and_not_kept(rule: Rule) -> None:
    passed, words = judge(rule, *planted())
    assert not passed
    assert "by langauge" in words
    assert "language" in words.partition("slices that they have: ")[2]


def test_where_there_are_no_classes_none_is_known_not_to_be_worse() -> None:
    outcome = scored(100)
    verdict = Gate(rules=(NoClassWorse(by=1),)).judge(Evidence(outcome, outcome, sampling=FEW))
    assert verdict.reasons() == ("the task has no classes to judge one by one",)


def test_without_an_incumbent_nothing_can_be_worse() -> None:
    rules = (MinimumGain(), NotWorse(margin=0), NoSliceWorse(by=0), NoClassWorse(by=0))
    assert Gate(rules=rules).judge(Evidence(classified(50), sampling=FEW)).passed


def test_a_gate_is_kept_as_json() -> None:
    gate = Gate(rules=(MinimumGain(gain=0.01), NoSliceWorse(by=0.02, slices=("language",)), LatencyLimit(p99_ms=9)))
    assert Gate.model_validate_json(gate.model_dump_json()) == gate
