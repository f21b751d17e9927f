"""Keeps a second controller from a database that only one may have."""

import fcntl
from pathlib import Path
from typing import IO

from sqlalchemy import make_url

from symbiont.common.errors import FailedPrecondition


class ControllerLock:
    """Held by the controller of an SQLite database for as long as it lives; one on PostgreSQL needs none."""

    def __init__(self, url: str) -> None:
        """Takes the lock.

        Raises:
            FailedPrecondition: another controller has it.
        """
        self._file: IO[bytes] | None = None
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
            return
        path = Path(f"{Path(parsed.database).absolute()}.lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            self._file.close()
            raise FailedPrecondition(
                f"another controller works on {parsed.database}: SQLite takes one; for several, set database_url to a "
                "PostgreSQL",
                reason="DATABASE_IN_USE",
            ) from exc

    def release(self) -> None:
        """Gives it back; the end of the process does so too."""
        if self._file:
            self._file.close()
