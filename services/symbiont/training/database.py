"""Access to the database that every part of the store shares.

SQLite (WAL, synchronous=FULL): every write takes the write lock first, which the counters in the tables rely on.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, create_engine, event, make_url, select

from symbiont.common.errors import NotFound
from symbiont.training import tables


class Database:
    """Transactions and plain reads. Methods block: the service calls them from threads."""

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            Path(parsed.database).absolute().parent.mkdir(parents=True, exist_ok=True)
        self._engine = create_engine(parsed)
        if parsed.get_backend_name() == "sqlite":
            event.listen(self._engine, "connect", _configure_sqlite)
            event.listen(self._engine, "begin", _begin_immediate)
        tables.metadata.create_all(self._engine)

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            yield connection

    def _all(self, query: Select[Any]) -> list[dict[str, Any]]:
        with self._read() as db:
            return [dict(row) for row in db.execute(query).mappings()]

    def _get(self, table: Any, collection: str, identifier: str) -> dict[str, Any]:
        rows = self._all(select(table).where(table.c.id == identifier))
        if not rows:
            raise NotFound(f"{collection}/{identifier} does not exist", field="name")
        return rows[0]


def _configure_sqlite(connection: Any, record: object) -> None:
    # The driver must not open transactions by itself: `_begin_immediate` does.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    # A deferred transaction that reads first and writes later fails under a concurrent writer; this one waits instead.
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
