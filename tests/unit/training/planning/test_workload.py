"""What a job computes is known before it begins: every part of every step of every epoch."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbiont.training.planning import workload
from symbiont.training.planning.workload import Floats, Workload, checkpoints_of, of_judging, of_training, steps_of
from symbiont.training.spec import Hyperparameters
from symbiont.training.worker.batches import epoch_batches
from symbiont.training.worker.network import pad

LENGTHS = np.random.default_rng(3).integers(2, 40, 101)


def cost(work: Workload) -> Floats:
    """A made-up one: of each part a constant, its tokens, and their pairs."""
    return 0.25 + 0.001 * work.padded + 0.00001 * work.attended


def by_hand(hyper: Hyperparameters, micro_batches: int, ranks: int) -> float:
    """Goes through the job as the loop does, on real rows of ids, and adds up what it pads."""
    rows, total = [np.ones(length, np.int64) for length in LENGTHS], 0.0
    for epoch in range(hyper.epochs):
        for batch in epoch_batches(LENGTHS.tolist(), hyper.rows_per_step, hyper.seed, epoch):
            for part in np.array_split(batch, min(micro_batches, len(batch))):
                ids, _ = pad([rows[row] for row in part[0::ranks]])
                count, longest = ids.shape
                total += 0.25 + 0.001 * count * longest + 0.00001 * count * longest**2
    return total


@pytest.mark.parametrize(
    ("hyper", "micro_batches", "ranks"),
    [
        (Hyperparameters(epochs=3, batch_size=16, seed=5), 1, 1),
        (Hyperparameters(epochs=2, batch_size=200), 1, 1),
        (Hyperparameters(epochs=2, batch_size=7, accumulation_steps=3), 3, 1),
        (Hyperparameters(epochs=1, batch_size=8), 2, 1),
        (Hyperparameters(epochs=2, batch_size=8, accumulation_steps=2), 2, 3),
    ],
)
def test_the_sum_over_the_batches_is_exact(hyper: Hyperparameters, micro_batches: int, ranks: int) -> None:
    work = of_training(LENGTHS, hyper, micro_batches, ranks)
    assert work.total(cost) == pytest.approx(by_hand(hyper, micro_batches, ranks))
    assert steps_of(len(LENGTHS), hyper) == hyper.epochs * math.ceil(101 / hyper.rows_per_step)


def test_of_very_many_epochs_the_first_stand_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workload, "EXACT_ROWS", 4 * len(LENGTHS))
    work = of_training(LENGTHS, Hyperparameters(epochs=50), 1, 1)
    assert (len(work), work.times) == (4 * 7, 12.5)
    exact = by_hand(Hyperparameters(epochs=50), 1, 1)
    assert work.total(cost) == pytest.approx(exact, rel=0.02)


def test_the_largest_part_is_the_one_with_the_most_pairs() -> None:
    work = Workload(np.array([4, 2, 4]), np.array([9, 14, 8]))
    assert work.largest() == (2, 14)
    assert work.padded.tolist() == [36, 28, 32]


def test_judging_goes_by_length() -> None:
    work = of_judging(np.array([5, 1, 9, 2, 7]), 2)
    assert (work.rows.tolist(), work.longest.tolist()) == ([2, 2, 1], [2, 7, 9])


def test_nothing_costs_nothing() -> None:
    assert of_judging(np.zeros(0, np.int64), 64).total(cost) == 0


@given(st.integers(1, 500), st.integers(1, 50))
def test_checkpoints_are_those_of_the_loop(total_steps: int, interval: int) -> None:
    hyper = Hyperparameters(checkpoint_interval=interval)
    made: Callable[[int], bool] = lambda step: step % interval == 0 or step == total_steps  # noqa: E731
    assert checkpoints_of(total_steps, hyper) == sum(made(step) for step in range(1, total_steps + 1))
