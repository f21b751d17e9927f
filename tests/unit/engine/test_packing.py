import random

import pytest

from symbiont.engine.packing import LEAST_TOKENS, PackingLimits, cut, spread


@pytest.mark.parametrize("seed", range(20))
def test_every_row_comes_once_and_limits_hold(seed):
    choice = random.Random(seed)
    lengths = [choice.randint(1, 512) for _ in range(choice.randint(1, 300))]
    limits = PackingLimits(max_rows=32, max_tokens=4096, max_waste=0.2, free_padding=16)
    groups = list(cut(lengths, limits))
    assert sorted(row for group in groups for row in group) == list(range(len(lengths)))
    for group in groups:
        longest = max(lengths[row] for row in group)
        padded = longest * len(group)
        padding = padded - sum(lengths[row] for row in group)
        assert len(group) <= 32
        assert padded <= max(4096, longest)
        assert padding <= max(0.2 * padded, 16)


def test_equal_lengths_stay_together():
    assert list(cut([7] * 10, PackingLimits())) == [list(range(10))]


def test_no_rows_have_no_groups():
    assert list(cut([], PackingLimits())) == []


def test_a_free_lane_gets_half_of_the_largest_group():
    lengths = [LEAST_TOKENS // 4] * 8
    assert spread([list(range(8))], lengths, 2) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert spread([[0], list(range(1, 9))], [*lengths, lengths[0]], 3) == [[0], [1, 2, 3, 4], [5, 6, 7, 8]]


@pytest.mark.parametrize(
    ("groups", "lanes"), [([list(range(8))], 1), ([[0, 1, 2]], 2), ([[0], [1, 2, 3, 4, 5, 6, 7]], 2), ([], 2)]
)
def test_nothing_is_halved_that_no_lane_waits_for_or_that_is_small(groups, lanes):
    assert spread(groups, [LEAST_TOKENS // 4] * 8, lanes) == groups


def test_a_row_is_in_one_piece():
    assert spread([[0]], [10 * LEAST_TOKENS], 2) == [[0]]
