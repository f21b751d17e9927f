"""Rows held out by a seed: by row with each class's share, by whole groups, or the latest."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from symbiont.solutions.recipe_rows import Split
from symbiont.solutions.rows import SolutionRow


class SplitError(Exception):
    """Rows cannot be cut so; the message says why, and what to do."""


def split(rows: Sequence[SolutionRow], how: Split) -> tuple[list[SolutionRow], list[SolutionRow]]:
    """Returns rows to learn from, and rows to judge by, each in their order.

    Raises:
        SplitError: a side would be empty, or lack a class.
    """
    parts = {"row": _by_row, "group": _by_group, "time": _by_time}[how.by](rows, how)
    held = set(parts)
    train = [row for place, row in enumerate(rows) if place not in held]
    test = [rows[place] for place in sorted(held)]
    if not train or not test:
        raise SplitError(f"{len(rows)} rows leave one side empty: give more rows, or another test_fraction")
    if rare := _classes(rows) - _classes(train):
        raise SplitError(f"no row of {sorted(rare)[0]!r} is left to learn from: give more of it, or drop it")
    return train, test


def _classes(rows: Sequence[SolutionRow]) -> set[str]:
    return {row.label for row in rows if isinstance(row.label, str)}


def _by_row(rows: Sequence[SolutionRow], how: Split) -> list[int]:
    places = defaultdict(list)
    for place, row in enumerate(rows):
        places[row.label if isinstance(row.label, str) else ""].append(place)
    held: list[int] = []
    for of_class in places.values():
        ordered = sorted(of_class, key=lambda place: _chance(how.seed, f"{place}:{rows[place].text}"))
        held += ordered[: round(how.test_fraction * len(of_class))]
    return held


def _by_group(rows: Sequence[SolutionRow], how: Split) -> list[int]:
    groups = sorted({row.group for row in rows}, key=lambda name: _chance(how.seed, name))
    held = set(groups[: round(how.test_fraction * len(groups))])
    return [place for place, row in enumerate(rows) if row.group in held]


def _by_time(rows: Sequence[SolutionRow], how: Split) -> list[int]:
    ordered = sorted(range(len(rows)), key=lambda place: rows[place].time)
    return ordered[len(rows) - round(how.test_fraction * len(rows)) :]


def _chance(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()
