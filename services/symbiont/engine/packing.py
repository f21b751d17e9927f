"""Cuts rows of different lengths into sub-batches that waste little on padding."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

# Of a part that another lane takes over.
LEAST_TOKENS = 128


@dataclass(frozen=True, slots=True)
class PackingLimits:
    """What a sub-batch may hold at most."""

    max_rows: int = 64
    # Padding included.
    max_tokens: int = 8192
    # Share of a sub-batch's tokens that may be padding...
    max_waste: float = 0.05
    # ... or this many of them: below it, one more pass through the base costs more than the padding.
    free_padding: int = 32


def cut(lengths: Sequence[int], limits: PackingLimits) -> Iterator[list[int]]:
    """Yields groups of row indices, shortest rows first; every row comes exactly once."""
    group: list[int] = []
    real = 0
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        padded = lengths[row] * (len(group) + 1)
        padding = padded - real - lengths[row]
        wasteful = padding > max(limits.max_waste * padded, limits.free_padding)
        if group and (wasteful or len(group) >= limits.max_rows or padded > limits.max_tokens):
            yield group
            group, real = [], 0
        group.append(row)
        real += lengths[row]
    if group:
        yield group


def spread(groups: Iterable[list[int]], lengths: Sequence[int], lanes: int) -> list[list[int]]:
    """Halves the largest groups until every lane has one, unless the halves were too small to be worth it."""
    spreading = list(groups)
    while 0 < len(spreading) < lanes:
        largest = max(spreading, key=lambda group: sum(lengths[row] for row in group))
        if len(largest) < 2 or sum(lengths[row] for row in largest) < 2 * LEAST_TOKENS:
            break
        spreading.remove(largest)
        half = len(largest) // 2
        spreading += [largest[:half], largest[half:]]
    return spreading
