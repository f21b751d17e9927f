"""Files of lines of which each has the digest of the one before: what is changed, removed or moved is found.

A chain is a folder with `000001.jsonl`, `000002.jsonl` and so on, a new one after so many bytes, and `head`, which has
the number and the digest of the last line. A process has a chain of its own, so that no line waits for another process;
the next process of that name goes on with it. Lines are handed to the system one by one: killing the process loses
none, a machine that loses power may lose the last ones.
"""

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from symbiont.common.errors import IntegrityError

FIRST = "0" * 64
HEAD, LOCK = "head", "lock"
# A line that comes after so many bytes begins a file.
FILE_BYTES = 64 << 20
_DIGEST = "digest"


class Chain:
    """The chain that a process adds to."""

    def __init__(self, root: Path, name: str, file_bytes: int = FILE_BYTES) -> None:
        """Goes on with the first chain `{name}-{number}` that no living process adds to, or begins one.

        Raises:
            IntegrityError: the end of it is not as its head says.
        """
        self._file_bytes = file_bytes
        self._folder, self._lock = _take(root, name)
        files = files_of(self._folder)
        self._file = files[-1] if files else self._folder / _name(1)
        _cut_half_a_line(self._file)
        self.number, self.digest = _last_of(files)
        self._head = os.open(self._folder / HEAD, os.O_RDWR | os.O_CREAT, 0o600)
        if problem := _head_problem(self._folder, self.number, self.digest, going_on=True):
            raise IntegrityError(f"{self._folder}: {problem}; keep the folder as it is, and set audit_root to another")
        self._out = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self._folder

    def add(self, values: dict[str, Any]) -> None:
        """Adds a line, all of it or nothing.

        Raises:
            OSError: it cannot be written, as on a full volume.
        """
        if os.fstat(self._out).st_size >= self._file_bytes:
            self._next_file()
        line = {"number": self.number + 1, **values, "before": self.digest}
        line[_DIGEST] = digest_of(line)
        self._write(f"{_json(line)}\n".encode())
        self.number, self.digest = self.number + 1, line[_DIGEST]
        os.pwrite(self._head, _head(self.number, self.digest), 0)

    def _write(self, text: bytes) -> None:
        size = os.fstat(self._out).st_size
        if os.write(self._out, text) < len(text):
            # A volume that becomes full takes a part and says nothing: half a line would wreck the chain.
            os.ftruncate(self._out, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._file))

    def close(self) -> None:
        """Writes all of it to the disk, and lets the next process go on with it."""
        for descriptor in (self._out, self._head):
            os.fsync(descriptor)
            os.close(descriptor)
        os.close(self._lock)

    def _next_file(self) -> None:
        os.fsync(self._out)
        os.close(self._out)
        self._file = self._folder / _name(int(self._file.stem) + 1)
        self._out = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)


def chains(root: Path) -> list[Path]:
    """Returns the folders of all chains under a folder."""
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def files_of(folder: Path) -> list[Path]:
    """Returns the files of a chain, the oldest first."""
    return sorted(folder.glob("[0-9]*.jsonl"))


def lines_of(folder: Path) -> Iterator[dict[str, Any]]:
    """Yields the lines of a chain, unchecked; what is no JSON is left out."""
    for file in files_of(folder):
        for text in file.read_bytes().splitlines():
            if (line := _parsed(text)) is not None:
                yield line


def problems_of(folder: Path) -> Iterator[str]:
    """Yields what is wrong with a chain, with file and line; nothing where all is as it was written."""
    number, digest = 0, FIRST
    for file in files_of(folder):
        for place, text in enumerate(file.read_bytes().splitlines(), 1):
            where, line = f"{file.name}:{place}", _parsed(text)
            if line is None or line.get(_DIGEST) != digest_of(line):
                yield f"{where}: this line, number {number + 1}, was changed"
            elif line["before"] != digest:
                yield f"{where}: {_misplaced(line['number'], number + 1)}"
            # From here on what follows is held to what stands here, so that one fault is told once.
            number = number + 1 if line is None else int(line.get("number", number + 1))
            digest = _recorded(line, digest)
    if problem := _head_problem(folder, number, digest):
        yield problem


def head_of(folder: Path) -> str:
    """Returns the digest of the last line: kept elsewhere, it tells that a whole chain was exchanged."""
    # Empty where a process was replaced before its first call.
    words = (folder / HEAD).read_text().split() if (folder / HEAD).is_file() else []
    return words[-1] if words else FIRST


def digest_of(line: dict[str, Any]) -> str:
    """Returns the digest of a line: SHA-256 of its JSON without the digest itself."""
    return hashlib.sha256(_json({k: v for k, v in line.items() if k != _DIGEST}).encode()).hexdigest()


def _misplaced(found: int, expected: int) -> str:
    if found > expected:
        return f"{_lines_were(expected, found - 1)} removed before line {found}"
    if found < expected:
        return f"line {found} stands where line {expected} should: it was moved, or added again"
    return f"line {found} does not follow the one before it, one of the two was exchanged"


def _lines_were(first: int, last: int) -> str:
    return f"line {first} was" if first == last else f"lines {first} to {last} were"


def _recorded(line: dict[str, Any] | None, digest: str) -> str:
    return str(line.get(_DIGEST, digest)) if line else digest


def _head_problem(folder: Path, number: int, digest: str, *, going_on: bool = False) -> str:
    text = (folder / HEAD).read_text().split() if (folder / HEAD).is_file() else []
    if not text:
        return "" if number == 0 or going_on else "the file head is missing"
    if not (len(text) == 2 and text[0].isdecimal()):
        return "the file head was changed"
    said = int(text[0])
    # A process that was killed may have written its last line and not the head.
    if said in (number, number - 1) and (said < number or text[1] == digest):
        return ""
    if said > number:
        return f"{_lines_were(number + 1, said)} removed from the end"
    return f"the head says that line {said} is the last, with another digest"


def _take(root: Path, name: str) -> tuple[Path, int]:
    number = 1
    while True:
        folder = root / f"{name}-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            number += 1
        else:
            return folder, lock


def _cut_half_a_line(file: Path) -> None:
    """Removes what a process that was killed has left of a line."""
    if not file.is_file():
        return
    with file.open("r+b") as stream:
        content = stream.read()
        stream.truncate(content.rfind(b"\n") + 1)


def _last_of(files: list[Path]) -> tuple[int, str]:
    for file in reversed(files):
        if lines := file.read_bytes().splitlines():
            last = _parsed(lines[-1]) or {}
            return int(last.get("number", 0)), str(last.get(_DIGEST, FIRST))
    return 0, FIRST


def _parsed(text: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and isinstance(line.get("number"), int) and "before" in line else None


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def _head(number: int, digest: str) -> bytes:
    return f"{number:020d} {digest}\n".encode()


def _name(number: int) -> str:
    return f"{number:06d}.jsonl"
