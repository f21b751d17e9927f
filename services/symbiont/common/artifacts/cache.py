"""Artifacts of an object store, kept near: a folder of the form of a local store, shared by processes, and bounded."""

import hashlib
import logging
import os
import shutil
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from errno import EACCES, EDQUOT, EEXIST, ENOSPC, ENOTDIR, EPERM, EROFS
from pathlib import Path

from symbiont.common.artifacts.layout import MANIFEST, is_digest
from symbiont.common.artifacts.local import LocalStore
from symbiont.common.artifacts.roots import BYTES_VARIABLE, DEFAULT_BYTES, FOLDER_VARIABLE
from symbiont.common.artifacts.uses import uses_of
from symbiont.common.encryption import PLAIN, Seals
from symbiont.common.errors import FailedPrecondition, IntegrityError, InvalidArgument, NotFound

_DAY = 86_400
_UNWRITABLE = {EACCES, EDQUOT, EEXIST, ENOSPC, ENOTDIR, EPERM, EROFS}
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Held:
    """An artifact in the cache; `used` is in nanoseconds of the epoch."""

    folder: Path
    size: int
    used: int


class Cache:
    """Keeps about `most_bytes`: what was used longest ago goes first, and nothing goes that a living process uses."""

    def __init__(self, folder: Path, most_bytes: int, seals: Seals = PLAIN) -> None:
        self.local = LocalStore(folder, seals)
        self._most = most_bytes
        self._guard = threading.Lock()
        self._fetching: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.local.root

    def path(self, kind: str, digest: str, fetch: Callable[[Path], None]) -> Path:
        """Returns the folder of an artifact, whose files were checked once in this process; from now on it is in use.

        Args:
            kind: as in the store.
            digest: as in the store.
            fetch: fills an empty folder with the artifact, and checks it; called when it is not here, or is damaged.

        Raises:
            FailedPrecondition: the cache cannot be written.
        """
        with self._writing():
            # Before the look: what is in use is not taken away between the two.
            uses_of(self.folder).take(digest)
            with self._one_at_a_time(digest):
                fetched = not self._is_here(kind, digest)
                if fetched:
                    with self.local.scratch(kind) as temporary:
                        fetch(temporary)
                        self.keep(temporary, kind, digest)
            folder = self.local.path(kind, digest)
            # One that is being removed, or lies in a folder of another user: only the order of eviction suffers.
            with suppress(OSError):
                os.utime(folder / MANIFEST)
        if fetched:
            self.trim()
        return folder

    def manifest_bytes(self, kind: str, digest: str) -> bytes | None:
        """Returns the bytes of a manifest; None where it is not here, or is damaged."""
        try:
            raw = self.local.manifest_bytes(kind, digest)
        except (NotFound, OSError):
            return None
        return raw if hashlib.sha256(raw).hexdigest() == digest else None

    @contextmanager
    def scratch(self, kind: str) -> Iterator[Path]:
        """Makes an empty folder on the disk of the cache; it goes at the end of the block."""
        with self._writing(), self.local.scratch(kind) as folder:
            yield folder

    def keep(self, temporary: Path, kind: str, digest: str) -> None:
        """Takes in a folder whose files have been checked."""
        self.local.commit(temporary, kind, digest)
        self.local.trust(kind, digest)

    def trim(self) -> None:
        """Removes what is too much, and what killed processes have left half written."""
        held = sorted(self._held(), key=lambda item: item.used)
        total = sum(item.size for item in held)
        for item in held:
            if total > self._most and self._evict(item):
                total -= item.size
        if total > self._most:
            _LOG.warning("%s has %d bytes in use, %s is %d", self.folder, total, BYTES_VARIABLE, self._most)
        self.local.sweep(_DAY)

    def _is_here(self, kind: str, digest: str) -> bool:
        try:
            self.local.path(kind, digest)
        except NotFound:
            return False
        except IntegrityError as exc:
            _LOG.warning("fetched again: %s", exc)
            return False
        return True

    def _evict(self, item: Held) -> bool:
        away = item.folder.with_name(f".{uuid.uuid4().hex}")
        with uses_of(self.folder).unused(item.folder.name) as unused:
            if not unused:
                return False
            try:
                item.folder.rename(away)
            except OSError:
                # Another process was faster.
                return True
        self.local.doubt(item.folder.parent.name, item.folder.name)
        shutil.rmtree(away, ignore_errors=True)
        return True

    def _held(self) -> Iterator[Held]:
        for folder in self.folder.glob("[!.]*/[!.]*"):
            if not is_digest(folder.name):
                continue
            try:
                size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
                yield Held(folder, size, (folder / MANIFEST).stat().st_mtime_ns)
            except OSError:
                # It goes at this moment.
                continue

    @contextmanager
    def _one_at_a_time(self, digest: str) -> Iterator[None]:
        with self._guard:
            mine = self._fetching[digest]
        with mine:
            yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            if exc.errno not in _UNWRITABLE:
                raise
            problem = f"the artifact cache {self.folder} cannot be written ({exc}); set {FOLDER_VARIABLE} to a folder"
            raise FailedPrecondition(f"{problem} of its own, with room for {BYTES_VARIABLE}") from exc


def open_cache(folder: Path | None = None, most_bytes: int | None = None, seals: Seals = PLAIN) -> Cache:
    """Returns the cache that is asked for, else the one that the environment names, else that of this user.

    Raises:
        InvalidArgument: the environment gives no number of bytes.
    """
    named = os.environ.get(FOLDER_VARIABLE, "")
    place = folder or (Path(named) if named else default_folder())
    return Cache(place, most_bytes or _bytes_of_environment(), seals)


def default_folder() -> Path:
    """Returns the folder in the system's cache folder."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(named) if named else Path.home() / ".cache") / "symbiont" / "artifacts"


def _bytes_of_environment() -> int:
    text = os.environ.get(BYTES_VARIABLE, "") or str(DEFAULT_BYTES)
    if not text.isdigit() or not int(text):
        raise InvalidArgument(BYTES_VARIABLE, f"{text!r} is not a number of bytes over 0")
    return int(text)
