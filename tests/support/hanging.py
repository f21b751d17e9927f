"""Processes that hang, or crawl, as those of a machine that is in trouble."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import psutil


def family(pid: int) -> list[int]:
    """Returns the ids of a process and of all below it."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


@contextmanager
def hung(pids: Sequence[int]) -> Iterator[None]:
    """Stops processes as a machine that hangs does: their connections stay open and nobody answers."""
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            # One that was replaced meanwhile is gone.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextmanager
def slow(pids: Sequence[int]) -> Iterator[None]:
    """Gives processes two fifths of the time, as a machine that is too full does."""
    over = threading.Event()

    def toggle() -> None:
        while not over.is_set():
            with hung(pids):
                over.wait(0.3)
            over.wait(0.2)

    with ThreadPoolExecutor(1) as pool:
        toggling = pool.submit(toggle)
        try:
            yield
        finally:
            over.set()
    toggling.result()
