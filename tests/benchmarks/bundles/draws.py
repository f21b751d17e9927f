"""Which bundle each row of a call asks for."""

from collections.abc import Callable, Sequence

import numpy as np

Draw = Callable[[int], Sequence[str]]


def one(bundles: Sequence[str]) -> Draw:
    """Every row asks for the same."""
    return lambda count: [bundles[0]] * count


def in_turn(bundles: Sequence[str]) -> Draw:
    """The rows of a call ask for one after another."""
    return lambda count: [bundles[i % len(bundles)] for i in range(count)]


def uniform(bundles: Sequence[str], seed: int = 1) -> Draw:
    """Each is asked for as often as any other."""
    random = np.random.default_rng(seed)
    return lambda count: [bundles[i] for i in random.integers(0, len(bundles), count)]


def zipf(bundles: Sequence[str], seed: int = 2) -> Draw:
    """The k-th is asked for with a weight of 1/k, as popularity often falls (Zipf's law)."""
    random = np.random.default_rng(seed)
    weights = 1.0 / np.arange(1, len(bundles) + 1)
    return lambda count: [bundles[i] for i in random.choice(len(bundles), count, p=weights / weights.sum())]
