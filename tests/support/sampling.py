"""Which cases of a test are in every run, and which only in `make slow`."""

from collections.abc import Iterable
from typing import Any

import pytest


def few(cases: Iterable[Any], *kept: Any) -> list[Any]:
    """Returns all cases; those that are not kept are marked slow."""
    every = list(cases)
    assert all(case in every for case in kept), f"not all of {kept} are cases"
    return [case if case in kept else pytest.param(*_values(case), marks=pytest.mark.slow) for case in every]


def _values(case: Any) -> tuple[Any, ...]:
    return case if isinstance(case, tuple) else (case,)
