"""Where the keyring lies: small files beside the artifacts."""

import os
import uuid
from pathlib import Path


class FolderNotes:
    """Notes in a folder. Writing is atomic: a reader sees a note whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        """Returns the names of all notes, in any order."""
        found = self._folder.iterdir() if self._folder.is_dir() else ()
        return [file.name for file in found if not file.name.startswith(".")]

    def read(self, name: str) -> bytes | None:
        """Returns a note; None where there is none of that name."""
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def create(self, name: str, content: bytes) -> bool:
        """Writes a note where there is none of that name, in one atomic step; returns whether it did."""
        temporary = self._written(content)
        try:
            # A link fails where the name is taken, a rename would not.
            os.link(temporary, self._folder / name)
        except FileExistsError:
            return False
        finally:
            temporary.unlink()
        self._sync()
        return True

    def replace(self, name: str, content: bytes) -> None:
        """Writes a note, in the place of the one that has its name."""
        self._written(content).replace(self._folder / name)
        self._sync()

    def remove(self, name: str) -> None:
        """Overwrites and removes a note; one that is not there is no error.

        A disk may keep what was overwritten, as a snapshot does: what is destroyed for good is for the master key to
        say, which is replaced after that.
        """
        file = self._folder / name
        try:
            with file.open("r+b") as stream:
                stream.write(bytes(file.stat().st_size))
                stream.flush()
                os.fsync(stream.fileno())
            file.unlink()
        except FileNotFoundError:
            return
        self._sync()

    def _written(self, content: bytes) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / f".{uuid.uuid4().hex}"
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        return temporary

    def _sync(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
