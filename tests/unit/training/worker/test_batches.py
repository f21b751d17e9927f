"""Batches are a pure function of seed and epoch."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from symbiont.training.worker.batches import epoch_batches, split_groups, split_holdout

lengths = st.lists(st.integers(1, 500), min_size=1, max_size=300)


@given(lengths, st.integers(1, 40), st.integers(0, 2**32 - 1), st.integers(0, 5))
def test_every_row_is_in_one_batch(lengths: list[int], size: int, seed: int, epoch: int) -> None:
    batches = epoch_batches(lengths, size, seed, epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert all(len(batch) <= size for batch in batches)
    assert len(batches) == -(-len(lengths) // size)
    again = epoch_batches(lengths, size, seed, epoch)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))


def test_epochs_and_seeds_differ() -> None:
    orders = {
        tuple(np.concatenate(epoch_batches([1] * 100, 8, seed, epoch)).tolist()) for seed in (0, 1) for epoch in (0, 1)
    }
    assert len(orders) == 4


def test_little_padding_is_needed() -> None:
    random = np.random.default_rng(0)
    lengths = random.lognormal(3, 0.7, 2000).astype(int) + 1

    def padded(batches: list[np.ndarray]) -> int:
        return sum(int(lengths[b].max()) * len(b) for b in batches)

    shuffled = list(np.array_split(random.permutation(2000), 125))
    assert padded(epoch_batches(lengths.tolist(), 16, 0, 0)) < 0.65 * padded(shuffled)


@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=60), st.floats(0.01, 0.5), st.integers(0, 9))
def test_a_holdout_is_stratified_and_disjoint(labels: list[str], fraction: float, seed: int) -> None:
    kept, held = split_holdout(labels, fraction, seed)
    assert sorted(kept + held) == list(range(len(labels)))
    for label in set(labels):
        count = labels.count(label)
        assert sum(labels[i] == label for i in kept) >= 1
        if count >= 2:
            assert abs(sum(labels[i] == label for i in held) - max(count * fraction, 1)) <= 1
    assert split_holdout(labels, fraction, seed) == (kept, held)


@given(st.lists(st.sampled_from(["", "a", "b", "c", "d"]), min_size=2, max_size=60), st.integers(0, 5))
def test_no_group_is_on_both_sides(groups: list[str], seed: int) -> None:
    kept, held = split_groups(groups, 0.2, seed)
    assert sorted(kept + held) == list(range(len(groups)))
    assert kept
    assert held
    named = [group or str(row) for row, group in enumerate(groups)]
    if len(set(named)) > 1:
        assert not {named[row] for row in kept} & {named[row] for row in held}
    assert split_groups(groups, 0.2, seed) == (kept, held)


def test_about_as_much_is_held_out_as_was_asked_for() -> None:
    groups = [str(row // 4) for row in range(400)]
    _, held = split_groups(groups, 0.25, 0)
    assert 90 <= len(held) <= 110
