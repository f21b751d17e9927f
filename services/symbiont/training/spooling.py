"""Reports that wait for the controller, on disk: however long it stays away, memory does not fill.

A file of records: four bytes of length, little-endian, then that many bytes. What a killed worker has left can be read
up to the record that it was writing.
"""

import os
import struct
import tempfile
from collections import deque
from pathlib import Path

from symbiont.common.encryption import PLAIN, Seals
from symbiont.common.encryption.seals import TEXT_MARK

HEADER = struct.Struct("<I")


class Spool:
    """First in, first out; a record stays until it is dropped."""

    def __init__(self, path: Path | None = None, seals: Seals = PLAIN, tenant: str = "") -> None:
        """`path` is a new file; without one it is a file without a name. Records are encrypted where `seals` are on."""
        self._seals, self._tenant = seals, tenant
        self._file = path.open("w+b", buffering=0) if path else tempfile.TemporaryFile(buffering=0)  # noqa: SIM115, closed by close()
        self._end = 0
        # The highest number so far.
        self.last = 0
        # (number, offset and length in the file, or the record itself where the disk had no room).
        self._waiting: deque[tuple[int, int, int, bytes | None]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def append(self, number: int, record: bytes) -> None:
        """Adds a record under a number that is higher than those before."""
        self.last = number
        record = self._seals.seal(record, self._tenant).encode() if self._seals.on else record
        try:
            os.pwrite(self._file.fileno(), HEADER.pack(len(record)) + record, self._end)
        except OSError:
            # A full disk must not lose a report: it waits in memory.
            self._waiting.append((number, 0, 0, record))
            return
        self._waiting.append((number, self._end + HEADER.size, len(record), None))
        self._end += HEADER.size + len(record)

    def first_after(self, number: int) -> tuple[int, bytes] | None:
        """Returns the first record with a higher number, and its number."""
        for found, offset, length, record in self._waiting:
            if found > number:
                record = record if record is not None else os.pread(self._file.fileno(), length, offset)
                return found, _opened(record, self._seals)
        return None

    def drop(self, number: int) -> None:
        """Drops the records up to a number; the file is emptied when none is left."""
        while self._waiting and self._waiting[0][0] <= number:
            self._waiting.popleft()
        if not self._waiting:
            self._end = 0
            self._file.truncate(0)

    def close(self) -> None:
        """Closes the file, which stays where it has a name."""
        self._file.close()


def read_records(path: Path, seals: Seals = PLAIN) -> list[bytes]:
    """Returns the records that a worker has left; one that was cut short is left out."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    records, start = [], 0
    while start + HEADER.size <= len(content):
        (length,) = HEADER.unpack_from(content, start)
        start += HEADER.size
        if length == 0 or start + length > len(content):
            break
        records.append(_opened(content[start : start + length], seals))
        start += length
    return records


def _opened(record: bytes, seals: Seals) -> bytes:
    # No message begins so: it would be a group, which there are none of.
    return seals.unseal(record.decode()) if record.startswith(TEXT_MARK.encode()) else record
