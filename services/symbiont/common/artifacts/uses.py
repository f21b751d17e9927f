"""Which artifacts of a cache are in use, told between processes by locks on the bytes of one file.

A lock ends with the process that holds it, however that ends, and one open file is enough for any number of artifacts.
"""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path


class Uses:
    """Of one file there may be one of these in a process: closing another would let go of all its locks."""

    def __init__(self, file: Path) -> None:
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._mine: set[str] = set()
        self._guard = threading.Lock()

    def take(self, digest: str) -> None:
        """Notes that this process uses an artifact, until it ends."""
        with self._guard:
            if digest not in self._mine:
                # Waits only for one that is being moved away.
                fcntl.lockf(self._descriptor, fcntl.LOCK_SH, 1, _place(digest))
                self._mine.add(digest)

    @contextmanager
    def unused(self, digest: str) -> Iterator[bool]:
        """Says whether nobody uses an artifact; if so, nobody begins to before the end of the block."""
        with self._guard:
            alone = digest not in self._mine and self._lock_alone(digest)
            try:
                yield alone
            finally:
                if alone:
                    fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, _place(digest))

    def _lock_alone(self, digest: str) -> bool:
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(digest))
        except OSError:
            return False
        return True


@cache
def uses_of(folder: Path) -> Uses:
    """Returns what this process knows of the uses of a cache."""
    folder.mkdir(parents=True, exist_ok=True)
    return Uses(folder / ".uses")


def _place(digest: str) -> int:
    # As much of it as an offset in a file can hold. Two that share a byte are in use together, which does no harm.
    return int(digest[:15], 16)
