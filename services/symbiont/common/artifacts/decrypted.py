"""Encrypted artifacts for readers that need a folder: decrypted into memory, for as long as a process lives."""

import atexit
import os
import shutil
import tempfile
import threading
from collections.abc import Mapping
from errno import ENOSPC
from functools import cache
from pathlib import Path
from typing import Any

from symbiont.common.artifacts.layout import open_file
from symbiont.common.encryption import Seals
from symbiont.common.errors import FailedPrecondition

# A file system in memory; where there is none, what would be written to a disk is not written.
_MEMORY = Path("/dev/shm")  # noqa: S108, it must be this one
_PREFIX = "symbiont-clear-"
_PIECE = 1 << 20


class Decrypted:
    """The folders that one process has decrypted. They go with it."""

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        self._lock = threading.Lock()
        self._root: Path | None = None
        # A fork has folders of its own: those of its parent may go before it ends.
        self._process = 0

    def folder(self, source: Path, kind: str, digest: str, files: Mapping[str, Any], seals: Seals) -> Path:
        """Returns the folder with an artifact's files in clear.

        Raises:
            FailedPrecondition: there is no memory for it.
            IntegrityError: a file is damaged.
        """
        with self._lock:
            found = self._own_root() / kind / digest
            if not found.is_dir():
                try:
                    _fill(found.with_name(f".{digest}"), source, kind, digest, files, seals)
                except OSError as exc:
                    if exc.errno != ENOSPC:
                        raise
                    problem = f"{kind}/{digest} is encrypted, and {self._memory} has no room for it: make it larger"
                    raise FailedPrecondition(problem, reason="NO_MEMORY") from exc
                found.with_name(f".{digest}").rename(found)
            # Readers of keys that are gone by now must not go on.
            open_file(source, kind, digest, min(files), files, seals, plain=False).close()
            return found

    def _own_root(self) -> Path:
        if self._root is None or self._process != os.getpid():
            if not os.access(self._memory, os.W_OK):
                problem = f"encrypted artifacts are decrypted into {self._memory}, which is not there or not writable"
                raise FailedPrecondition(problem, reason="NO_MEMORY")
            _sweep(self._memory)
            self._root = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=self._memory))
            self._process = os.getpid()
            atexit.register(shutil.rmtree, self._root, ignore_errors=True)
        return self._root


def _sweep(memory: Path) -> None:
    """Removes what processes that were killed have left."""
    for folder in memory.glob(f"{_PREFIX}*-*"):
        if not Path("/proc", folder.name.removeprefix(_PREFIX).partition("-")[0]).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _fill(folder: Path, source: Path, kind: str, digest: str, files: Mapping[str, Any], seals: Seals) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in files:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with open_file(source, kind, digest, name, files, seals, plain=False) as stream, target.open("wb") as out:
            shutil.copyfileobj(stream, out, _PIECE)


@cache
def _of_this_process() -> Decrypted:
    return Decrypted(_MEMORY)


def decrypted(source: Path, kind: str, digest: str, files: Mapping[str, Any], seals: Seals) -> Path:
    """Returns the folder of an encrypted artifact in clear, in the memory of this machine; errors as of `Decrypted`."""
    return _of_this_process().folder(source, kind, digest, files, seals)
