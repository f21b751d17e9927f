"""Drift: silent where answers are as they were judged, loud where they are not, bounded in what it shows."""

from dataclasses import replace

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from support.clock import Clock
from symbiont.bundle import SCORE_BINS, Profile, score_bin
from symbiont.common.top import OTHER
from symbiont.inference.drift import LEAST_ROWS, MOST_LABELS, MOST_MODELS, Drift, stability_index
from symbiont.inference.results import Classification, ClassProbability, Score
from symbiont.inference.types import BundleInfo, ModelVersion, Served

LABELS = ("no", "yes", "perhaps")
PROFILE = Profile(labels=(50, 100, 150), scores=(0, 0, 0, 0, 0, 0, 0, 100, 100, 100))


@pytest.fixture
def served(info: BundleInfo) -> Served:
    return Served(
        ModelVersion("mood", 3, "d" * 64, info.base_digest, info.tokenizer_digest), replace(info, profile=PROFILE)
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def drift(prometheus: CollectorRegistry, clock: Clock) -> Drift:
    return Drift(prometheus, clock)


def answers(counts: dict[str, int], probability: float = 0.85) -> list[Classification]:
    """Answers whose probabilities are spread about one by a tenth."""
    found = []
    for number, label in enumerate(label for label, count in counts.items() for _ in range(count)):
        decided = ClassProbability(label, probability + 0.1 * (number % 3 - 1))
        found.append(Classification((decided,), decided))
    return found


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"symbiont_inference_model_{name}", {"model": "mood", "version": "3", **labels})


def test_the_same_answers_do_not_drift(prometheus: CollectorRegistry, drift: Drift, served: Served) -> None:
    drift.note(served, answers({"no": 50, "yes": 100, "perhaps": 150}))
    assert value(prometheus, "rows") == 300
    for of in ("labels", "scores"):
        assert value(prometheus, "drift", of=of) == pytest.approx(0, abs=0.02)


def test_other_labels_drift(prometheus: CollectorRegistry, drift: Drift, served: Served) -> None:
    drift.note(served, answers({"no": 240, "yes": 30, "perhaps": 30}))
    labels, scores = (value(prometheus, "drift", of=of) for of in ("labels", "scores"))
    assert labels is not None
    assert labels > 0.25
    assert scores == pytest.approx(0, abs=0.02)
    assert value(prometheus, "label_share", label="0", rows="used") == 0.8
    assert value(prometheus, "label_share", label="0", rows="judged") == pytest.approx(1 / 6)


def test_less_sure_answers_drift(prometheus: CollectorRegistry, drift: Drift, served: Served) -> None:
    drift.note(served, answers({"no": 50, "yes": 100, "perhaps": 150}, probability=0.55))
    labels, scores = (value(prometheus, "drift", of=of) for of in ("labels", "scores"))
    assert labels == pytest.approx(0, abs=0.02)
    assert scores is not None
    assert scores > 0.25
    assert value(prometheus, "score_share", score="0.5", rows="used") == pytest.approx(1 / 3, abs=0.01)


def test_it_recovers_when_answers_do(prometheus: CollectorRegistry, drift: Drift, served: Served) -> None:
    """The window is about the last rows, not all."""
    drift.note(served, answers({"no": 2000}))
    for _ in range(30):
        drift.note(served, answers({"no": 50, "yes": 100, "perhaps": 150}))
    assert value(prometheus, "drift", of="labels") == pytest.approx(0, abs=0.02)


def test_a_version_that_serves_no_more_is_not_told(
    prometheus: CollectorRegistry, drift: Drift, served: Served, clock: Clock
) -> None:
    drift.note(served, answers({"no": 300}))
    after = replace(served, version=replace(served.version, number=4))
    for _ in range(30):
        clock.now += 121
        drift.note(after, answers({"yes": 10}))
    told = {sample.labels["version"] for family in drift.collect() for sample in family.samples}
    assert told == {"4"}
    assert value(prometheus, "drift", of="labels") is None


def test_one_that_is_asked_seldom_goes_on_after_a_night_and_not_after_a_month(
    prometheus: CollectorRegistry, drift: Drift, served: Served, clock: Clock
) -> None:
    for hours, rows in ((0, 60), (14, 120), (30 * 24, 60)):
        clock.now += hours * 3600
        drift.note(served, answers({"no": 60}))
        assert value(prometheus, "rows") == rows
        clock.now += 3601
        assert value(prometheus, "rows") is None


def test_few_rows_are_no_drift(prometheus: CollectorRegistry, drift: Drift, served: Served) -> None:
    drift.note(served, answers({"no": LEAST_ROWS - 1}))
    assert value(prometheus, "rows") == LEAST_ROWS - 1
    assert value(prometheus, "drift", of="labels") is None


@pytest.mark.parametrize("case", ["no profile", "few judged rows", "by digest", "no classes"])
def test_what_is_not_watched(prometheus: CollectorRegistry, drift: Drift, served: Served, case: str) -> None:
    few = Profile(labels=(10, 10, 10), scores=(0,) * 9 + (30,))
    version, bundle = served.version, served.bundle
    changed = {
        "no profile": replace(served, bundle=replace(bundle, profile=None)),
        "few judged rows": replace(served, bundle=replace(bundle, profile=few)),
        "by digest": replace(served, version=replace(version, model="", number=0)),
        "no classes": served,
    }[case]
    drift.note(changed, [Score(1.0)] * 300 if case == "no classes" else answers({"no": 300}))
    found = next(family for family in drift.collect() if family.name.endswith("model_rows")).samples
    assert [sample.value for sample in found] == ([0] if case == "no classes" else [])


def test_ten_thousand_models_have_few_labels(prometheus: CollectorRegistry, drift: Drift, served: Served) -> None:
    for number in range(10_000):
        version = replace(served.version, model=f"model-{number}")
        drift.note(replace(served, version=version), answers({"no": 1}))
        if number % 100 == 0:
            drift.note(served, answers({"no": 10}))
    shown = next(family for family in drift.collect() if family.name.endswith("model_rows")).samples
    assert len(shown) <= MOST_MODELS
    assert value(prometheus, "rows") == 1000


def test_of_many_labels_the_judged_ones_are_shown(prometheus: CollectorRegistry, drift: Drift, served: Served) -> None:
    names = tuple(f"intent-{number}" for number in range(77))
    counts = tuple(77 - number for number in range(77))
    profile = Profile(labels=counts, scores=(0,) * 9 + (sum(counts),))
    served = replace(served, bundle=replace(served.bundle, labels=names, profile=profile))
    drift.note(served, answers(dict(zip(names, counts, strict=True))))
    shown = next(family for family in drift.collect() if family.name.endswith("label_share")).samples
    used = {sample.labels["label"]: sample.value for sample in shown if sample.labels["rows"] == "used"}
    assert used.keys() == {OTHER, *map(str, range(MOST_LABELS))}
    assert sum(used.values()) == pytest.approx(1)


@pytest.mark.parametrize("bins", [2, 10, 77])
def test_chance_alone_is_near_zero(bins: int) -> None:
    """Samples of one distribution, as small as they may be; the plain index of 77 labels would be above 0.25."""
    draw = np.random.default_rng(bins)
    shares = np.full(bins, 1 / bins)
    found = [stability_index(draw.multinomial(400, shares), draw.multinomial(1000, shares)) for _ in range(200)]
    assert np.quantile(found, 0.99) < 0.15


def test_the_index_is_that_of_the_definition() -> None:
    """(0.8 - 0.5) ln(0.8 / 0.5) + (0.2 - 0.5) ln(0.2 / 0.5), of so many rows that chance is nothing."""
    expected = 0.3 * np.log(1.6) - 0.3 * np.log(0.4)
    assert stability_index((5e9, 5e9), (8e9, 2e9)) == pytest.approx(expected, abs=1e-6)


def test_bins_of_scores() -> None:
    assert [score_bin(p) for p in (0.0, 0.05, 0.1, 0.99, 1.0)] == [0, 0, 1, SCORE_BINS - 1, SCORE_BINS - 1]
