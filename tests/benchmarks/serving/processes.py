"""Processes under measurement: what CPU they took, and how those that are not measured are made to rest."""

import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import psutil

_TICK = 1.0 / os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids: Sequence[int]) -> float:
    """Returns the CPU that these processes have taken so far, user and system, in seconds."""
    total = 0
    for pid in pids:
        # After the name, which may hold spaces: fields 14 and 15 of proc(5) are ticks of user and system.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total * _TICK


def tree(pid: int) -> list[int]:
    """Returns a process and all that it started, parents first."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def rest(pids: Sequence[int]) -> None:
    """Stops processes where they are, parents first, so that none takes a child that rests for dead."""
    for pid in pids:
        _tell(pid, signal.SIGSTOP)


def wake(pids: Sequence[int]) -> None:
    """Lets processes go on, children first."""
    for pid in reversed(pids):
        _tell(pid, signal.SIGCONT)


def _tell(pid: int, number: int) -> None:
    # One that has ended meanwhile, as helpers of a server do while it starts, needs no telling.
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def resident_bytes(pids: Sequence[int]) -> int:
    """Returns the memory that these processes hold, pages that they share counted once each by their share (PSS)."""
    return sum(psutil.Process(pid).memory_full_info().pss for pid in pids)
