"""A pace that is learnt from timed parts: what was put in comes out, and what is unsure is said to be."""

import numpy as np
import pytest

from symbiont.training.planning.estimating import Part, by_name, total_of
from symbiont.training.planning.limits import Limits
from symbiont.training.planning.pace import LEAST_DRIFT, fit
from symbiont.training.planning.trial import Timed
from symbiont.training.planning.types import estimate
from symbiont.training.planning.workload import Floats, Workload

RANDOM = np.random.default_rng(1)
WORK = Workload(np.full(60, 16), RANDOM.integers(8, 200, 60))


def real(work: Workload) -> Floats:
    return 0.02 + 0.0004 * work.padded + 0.000002 * work.attended


def test_what_was_put_in_comes_out() -> None:
    pace = fit(WORK, real(WORK))
    assert (pace.constant, pace.per_token, pace.per_pair) == pytest.approx((0.02, 0.0004, 0.000002), rel=1e-4)
    other = Workload(np.array([16, 7, 32]), np.array([256, 11, 90]), times=3)
    assert other.total(pace.seconds) == pytest.approx(other.total(real))
    assert pace.noise == pytest.approx(0, abs=1e-6)
    assert pace.deviation() == pytest.approx(LEAST_DRIFT)


def test_the_sum_of_what_was_timed_is_exact_however_it_scatters() -> None:
    seconds = real(WORK) * RANDOM.lognormal(0, 0.4, len(WORK))
    pace = fit(WORK, seconds)
    assert WORK.total(pace.seconds) == pytest.approx(seconds.sum())
    assert min(pace.constant, pace.per_token, pace.per_pair) >= 0
    assert 0.2 < pace.noise < 0.7


def test_a_few_parts_teach_the_time_of_a_token() -> None:
    few = Workload(np.array([4, 4]), np.array([10, 30]))
    pace = fit(few, np.array([0.5, 1.5]))
    assert (pace.constant, pace.per_token, pace.per_pair) == (0, pytest.approx(2 / 160), 0)
    assert fit(Workload(np.array([4]), np.array([10])), np.array([0.4])).noise == 0.25


def test_a_speed_that_wanders_widens_the_interval() -> None:
    steady = fit(WORK, real(WORK))
    # Half of it at half the speed.
    wandering = fit(WORK, real(WORK) * np.repeat([1.0, 2.0], len(WORK) // 2))
    assert wandering.drift > 0.25 > LEAST_DRIFT == steady.drift
    assert wandering.deviation() > 3 * steady.deviation()


@pytest.mark.parametrize("deviation", [0.0, 0.05, 0.5, 3.0])
def test_intervals_contain_the_value_and_stay_above_zero(deviation: float) -> None:
    found = estimate(12.0, deviation)
    assert 0 < found.low <= found.value == 12.0 <= found.high
    assert found.low * found.high == pytest.approx(144)
    doubled = found.times(2)
    assert (doubled.low, doubled.value, doubled.high) == (2 * found.low, 24, 2 * found.high)


def test_nine_of_ten_are_on_either_side() -> None:
    found = estimate(1.0, 0.2)
    drawn = RANDOM.lognormal(0, 0.2, 20_000)
    assert (drawn < found.low).mean() == pytest.approx(0.1, abs=0.01)
    assert (drawn > found.high).mean() == pytest.approx(0.1, abs=0.01)


def test_parts_add_up() -> None:
    parts = [Part("start", 3, 0.3), Part("train", 60, 0.1, shared=True), Part("evaluate", 20, 0.1, shared=True)]
    parts += [Part("start", 4, 0.3), Part("store", 3, 0.3)]
    assert by_name(parts) == (("start", 7), ("train", 60), ("evaluate", 20), ("store", 3))
    total = total_of(parts)
    assert total.value == 90
    # What is wrong together adds up, what is wrong apart does not: 6 + 2 with the root of 0.9^2 + 1.2^2 + 0.9^2.
    assert np.log(total.high / 90) / 1.2816 == pytest.approx(np.hypot(8, np.sqrt(0.81 + 1.44 + 0.81)) / 90)


def test_beside_other_jobs_processor_time_counts_and_the_threads_are_a_guess() -> None:
    timed = Timed([16] * 8, [20] * 8, [9.0] * 8, [2.0] * 8)
    alone, beside = Limits(threads=4), Limits(threads=4, company=2)
    assert alone.pace(timed).seconds(timed.workload()).tolist() == pytest.approx([9.0] * 8)
    pace = beside.pace(timed)
    # Between 0.5 s, spread over four threads, and 2 s, on one.
    assert pace.seconds(timed.workload()).tolist() == pytest.approx([1.0] * 8)
    found = estimate(1.0, beside.deviation(pace))
    assert found.low < 0.5
    assert found.high > 2
