"""Which rows are tokenized, and what the others are taken for."""

import numpy as np

from symbiont.training.planning.sampling import draw, lengths_of_all, memory_of, sizes_of, spread_labels

SIZES = np.random.default_rng(0).integers(10, 400, 5000)


def test_a_small_dataset_is_taken_whole() -> None:
    sample = draw(SIZES[:100], 100, seed=0)
    assert sample.rows.tolist() == list(range(100))
    assert len(sample.longest) == 0


def test_of_a_large_one_the_same_rows_are_drawn_each_time_and_the_longest_besides() -> None:
    sample, again = draw(SIZES, 500, seed=7), draw(SIZES, 500, seed=7)
    assert sample.rows.tolist() == again.rows.tolist()
    assert draw(SIZES, 500, seed=8).drawn.tolist() != sample.drawn.tolist()
    assert (len(sample.drawn), len(set(sample.rows.tolist()))) == (500, 516)
    assert SIZES[sample.rows].max() == SIZES.max()
    # Drawn rows are like the whole; the longest are kept apart from them.
    assert abs(SIZES[sample.drawn].mean() / SIZES.mean() - 1) < 0.05
    left_out = np.setdiff1d(np.arange(5000), sample.rows)
    assert SIZES[sample.longest].min() >= SIZES[left_out].max()


def test_lengths_follow_from_sizes() -> None:
    # About four characters a token, some texts with more, some with fewer.
    truth = np.clip(np.rint(SIZES / 4 * np.random.default_rng(1).uniform(0.8, 1.25, 5000)), 1, 64).astype(int)
    sample = draw(SIZES, 500, seed=0)
    found = lengths_of_all(SIZES, sample, truth[sample.rows], 64, seed=0)
    assert found[sample.rows].tolist() == truth[sample.rows].tolist()
    assert found.min() >= 1
    assert found.max() == 64
    assert abs(found.sum() / truth.sum() - 1) < 0.02
    np.testing.assert_allclose(np.quantile(found, [0.1, 0.5, 0.9]), np.quantile(truth, [0.1, 0.5, 0.9]), rtol=0.1)


def test_labels_come_in_turn() -> None:
    labels = ["often"] * 90 + ["rare"] * 3 + ["odd"]
    chosen = spread_labels(labels, 7, seed=0)
    assert sorted(labels[row] for row in chosen) == ["odd", "often", "often", "often", "rare", "rare", "rare"]
    assert {labels[row] for row in chosen[:3]} == {"often", "rare", "odd"}
    assert len(set(spread_labels(labels, 1000, seed=0).tolist())) == 94


def test_sizes_and_memory() -> None:
    assert sizes_of(["", "abc", "你好"]).tolist() == [0, 3, 2]
    # A row of 30 ids is 240 bytes of numbers.
    assert 1000 * 240 < memory_of(1000, 30) < 1000 * 440
