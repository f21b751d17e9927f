"""Faults at a point that no clock would hit: they run inside the real worker or the real controller.

A plan is a file; the process that comes to its point takes the plan away first, so that a fault happens once.
"""

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

PLAN = "SYMBIONT_DRILL_PLAN"
F = TypeVar("F", bound=Callable[..., Any])


def plan(path: Path, point: str, after: int = 0) -> None:
    """Plans a fault: at that point, after it was passed so many times."""
    temporary = path.with_suffix(".new")
    temporary.write_text(f"{point} {after}")
    temporary.rename(path)


def is_due(point: str, passed: int) -> bool:
    """Whether the fault of a point is to happen now; it is said once."""
    path = Path(os.environ[PLAN])
    try:
        planned, after = path.read_text().split()
        if planned != point or passed < int(after):
            return False
        path.rename(path.with_suffix(".done"))
    except FileNotFoundError:
        return False
    return True


class Point:
    """A place in the program at which a fault may be planned."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.passed = 0

    def __call__(self) -> None:
        """Passes it, or ends the process as `kill -9` does; the disk is full where its name says so."""
        due = is_due(self.name, self.passed)
        self.passed += 1
        if due and self.name.endswith("disk-full"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if due:
            os.kill(os.getpid(), signal.SIGKILL)


def before(point: Point, function: F) -> F:
    """Returns the function with a point before it."""

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        point()
        return function(*args, **kwargs)

    return wrapped  # type: ignore[return-value]


def after(point: Point, function: F) -> F:
    """Returns the function with a point after it."""

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        point()
        return result

    return wrapped  # type: ignore[return-value]
