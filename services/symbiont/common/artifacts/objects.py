"""The few calls of an object store that artifacts need, over a filesystem of fsspec."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from errno import EDQUOT, ENOSPC, EROFS
from pathlib import Path
from typing import Any, ClassVar

from symbiont.common.errors import NotFound, SymbiontError


@dataclass(frozen=True, slots=True)
class Entry:
    """An object in a listing; `modified` is in seconds of the epoch."""

    size: int
    modified: float


class Objects:
    """Objects by key, below one place. An error of the store is told once, here, as one of ours.

    Raises, in every method:
        NotFound: there is no such object.
        Unavailable: the store does not answer.
        FailedPrecondition: it refuses; the message says what to set.
    """

    # For what is small, and not worth a question for its size first.
    small: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, filesystem: Any, place: str, url: str) -> None:
        """Makes one.

        Args:
            filesystem: of fsspec, synchronous, that keeps no listings.
            place: what its paths begin with, for example `bucket/prefix`.
            url: how people name that place.
        """
        self._filesystem = filesystem
        self._place = place
        self.url = url

    def read(self, key: str) -> bytes:
        """Returns the content of a small object."""
        with self._telling(key):
            content: bytes = self._filesystem.cat_file(self._path(key), **self.small)
        return content

    def read_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Returns the contents of small objects, asked for at one time; those that are not there are left out."""
        paths = {self._path(key): key for key in keys}
        with self._telling("several objects"):
            found = self._filesystem.cat(list(paths), on_error="return", **self.small) if paths else {}
        contents = {}
        for path, content in found.items():
            key = paths[path.lstrip("/")]
            if not isinstance(content, Exception):
                contents[key] = content
                continue
            try:
                with self._telling(key):
                    raise content
            except NotFound:
                continue
        return contents

    def write(self, key: str, content: bytes) -> None:
        """Writes a small object, or replaces it."""
        with self._telling(key):
            self._filesystem.pipe_file(self._path(key), content)

    def create(self, key: str, content: bytes) -> bool:
        """Writes a small object where there is none, in one atomic step; returns whether it did."""
        with self._telling(key):
            try:
                self._filesystem.pipe_file(self._path(key), content, mode="create")
            except OSError as exc:
                if not self._is_taken(exc):
                    raise
                return False
        return True

    def upload(self, key: str, file: Path) -> None:
        """Writes an object from a file, or replaces it."""
        with self._telling(key):
            self._filesystem.put_file(str(file), self._path(key), **self._transfer(file.stat().st_size))

    def download(self, key: str, file: Path) -> None:
        """Writes a file from an object."""
        with self._telling(key):
            self._filesystem.get_file(self._path(key), str(file))

    def exists(self, key: str) -> bool:
        """Whether there is an object of that key."""
        with self._telling(key):
            return bool(self._filesystem.exists(self._path(key)))

    def modified(self, key: str) -> float:
        """Returns when an object was written, in seconds of the epoch."""
        with self._telling(key):
            return _seconds(self._filesystem.modified(self._path(key)))

    def entries(self, prefix: str = "") -> dict[str, Entry]:
        """Returns all objects below a key that ends in no slash; their keys begin behind it."""
        path = self._path(prefix) if prefix else self._place
        with self._telling(prefix):
            found = self._filesystem.find(path, detail=True)
        start = len(path) + 1
        # Some stores show a folder that was emptied as itself.
        files = {name.lstrip("/")[start:]: info for name, info in found.items() if info["type"] == "file"}
        return {name: _entry(info) for name, info in files.items() if name}

    def remove(self, key: str) -> None:
        """Removes an object; one that is not there is no error."""
        try:
            with self._telling(key):
                self._filesystem.rm_file(self._path(key))
        except NotFound:
            return

    def drop_uploads(self, older_than_seconds: float) -> int:
        """Gives up uploads in parts that were begun that long ago and never ended; returns how many."""
        return 0

    def _path(self, key: str) -> str:
        return f"{self._place}/{key}"

    def _transfer(self, size: int) -> dict[str, Any]:
        return {}

    @contextmanager
    def _telling(self, key: str) -> Iterator[None]:
        try:
            yield
        except SymbiontError:
            raise
        except Exception as exc:
            told = None if _is_of_this_machine(exc) else self._told(key, exc)
            if told is None:
                raise
            raise told from exc

    def _told(self, key: str, error: Exception) -> SymbiontError | None:
        """Returns what an error of the filesystem means; None for one that was not expected."""
        return self._missing(key) if isinstance(error, FileNotFoundError) else None

    def _missing(self, key: str) -> SymbiontError:
        return NotFound(f"{key}: not in the artifact store {self.url}")

    def _is_taken(self, error: OSError) -> bool:
        return isinstance(error, FileExistsError)


class ObjectNotes:
    """The keyring, as small objects below one key; see `encryption.Notes`."""

    def __init__(self, objects: Objects, prefix: str) -> None:
        self._objects = objects
        self._prefix = prefix

    def names(self) -> list[str]:
        """Returns the names of all notes, in any order."""
        return [*self._objects.entries(self._prefix)]

    def read(self, name: str) -> bytes | None:
        """Returns a note; None where there is none of that name."""
        try:
            return self._objects.read(f"{self._prefix}/{name}")
        except NotFound:
            return None

    def create(self, name: str, content: bytes) -> bool:
        """Writes a note where there is none of that name, in one atomic step; returns whether it did."""
        return self._objects.create(f"{self._prefix}/{name}", content)

    def replace(self, name: str, content: bytes) -> None:
        """Writes a note, in the place of the one that has its name."""
        self._objects.write(f"{self._prefix}/{name}", content)

    def remove(self, name: str) -> None:
        """Removes a note; one that is not there is no error."""
        self._objects.remove(f"{self._prefix}/{name}")


def _is_of_this_machine(error: Exception) -> bool:
    """Whether a file or a disk here failed while objects were moved."""
    return isinstance(error, OSError) and (error.filename is not None or error.errno in (ENOSPC, EDQUOT, EROFS))


def _entry(info: Mapping[str, Any]) -> Entry:
    return Entry(int(info["size"]), _seconds(info.get("LastModified") or info["created"]))


def _seconds(when: Any) -> float:
    return when.timestamp() if isinstance(when, datetime) else float(when)
