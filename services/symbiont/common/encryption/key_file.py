"""A master key in a file that only its owner can read.

A line is a version: an id and 32 bytes in base64, with a space between. The last one is the newest.
"""

import base64
import binascii
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from symbiont.common.encryption.ciphers import KEY_BYTES, decrypt, encrypt, new_key
from symbiont.common.errors import FailedPrecondition, IntegrityError

_MODE = 0o600
_ID_BYTES = 4


class KeyFile:
    """Reads the file at each use: whoever rotates it is another process."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()

    def make(self) -> bool:
        """Writes the file with a first version where there is none; returns whether it did."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError), self._locked():
            if not self._path.exists():
                self._write([_new_version()])
                return True
        return False

    def wrap(self, key: bytes, context: bytes) -> str:
        """Returns `ID:BASE64`."""
        identifier, master = self._versions()[-1]
        return f"{identifier}:{base64.b64encode(encrypt(master, key, context)).decode()}"

    def unwrap(self, wrapped: str, context: bytes) -> bytes:
        """Returns a key that some version of this file has wrapped."""
        identifier, _, sealed = wrapped.partition(":")
        master = dict(self._versions()).get(identifier)
        if master is None:
            problem = f"the master key {self._path} has no version {identifier}, by which a key was wrapped"
            raise FailedPrecondition(f"{problem}: put back the file that was used before", reason="MASTER_KEY_UNKNOWN")
        try:
            content = base64.b64decode(sealed, validate=True)
        except binascii.Error as exc:
            raise IntegrityError("a wrapped key is not base64") from exc
        return decrypt(master, content, context, "a wrapped key")

    def rotate(self) -> None:
        """Adds a version."""
        with self._locked():
            self._write([*self._versions(), _new_version()])

    def retire(self) -> None:
        """Leaves the newest version alone."""
        with self._locked():
            self._write(self._versions()[-1:])

    def _versions(self) -> list[tuple[str, bytes]]:
        try:
            mode = stat.S_IMODE(self._path.stat().st_mode)
            content = self._path.read_text()
        except OSError as exc:
            problem = f"the master key {self._path} cannot be read ({exc.strerror}): put the file back"
            raise FailedPrecondition(f"{problem}, or name another by master_key", reason="MASTER_KEY_MISSING") from exc
        if mode & 0o077:
            problem = f"others may read the master key {self._path}: chmod 600 {self._path}"
            raise FailedPrecondition(problem, reason="MASTER_KEY_OPEN")
        try:
            versions = [(line.split()[0], base64.b64decode(line.split()[1])) for line in content.splitlines()]
        except (IndexError, binascii.Error):
            versions = []
        if not versions or any(len(key) != KEY_BYTES for _, key in versions):
            problem = f"{self._path} holds no master key: each line is an id and {KEY_BYTES} bytes in base64"
            raise FailedPrecondition(problem, reason="MASTER_KEY_DAMAGED")
        return versions

    def _write(self, versions: list[tuple[str, bytes]]) -> None:
        lines = "".join(f"{identifier} {base64.b64encode(key).decode()}\n" for identifier, key in versions)
        temporary = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(lines)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(self._path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keeps other writers out."""
        try:
            descriptor = os.open(self._path.parent, os.O_RDONLY)
        except OSError as exc:
            problem = f"the folder of the master key {self._path} cannot be opened ({exc.strerror})"
            raise FailedPrecondition(problem, reason="MASTER_KEY_MISSING") from exc
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _new_version() -> tuple[str, bytes]:
    return secrets.token_hex(_ID_BYTES), new_key()
