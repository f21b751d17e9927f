import random

import pytest

from symbiont.engine.packing import PackingLimits, cut


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
