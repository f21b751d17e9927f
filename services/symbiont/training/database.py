"""Access to the database that every part of the store shares.

SQLite (WAL, synchronous=FULL): every write takes the write lock first, which the counters in the tables rely on.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Select, create_engine, event, inspect, make_url, select
from sqlalchemy.schema import CreateColumn

from symbiont.common.errors import FailedPrecondition, NotFound
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
        _add_columns(self._engine)

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


def _add_columns(engine: Engine) -> None:
    """Gives the tables of an older release the columns that came since: `create_all` only makes whole tables.

    Raises:
        FailedPrecondition: a column that must have a value is missing, so that the rows there cannot be read.
    """
    with engine.begin() as db:
        known, quoted = inspect(db), db.dialect.identifier_preparer
        for table in tables.metadata.sorted_tables:
            present = {column["name"] for column in known.get_columns(table.name)}
            for column in (column for column in table.columns if column.name not in present):
                if not column.nullable:
                    name = f"{table.name}.{column.name}"
                    raise FailedPrecondition(f"the database is too old: it has no {name}, and none can be made up")
                made = CreateColumn(column).compile(dialect=db.dialect)
                db.exec_driver_sql(f"ALTER TABLE {quoted.format_table(table)} ADD COLUMN {made}")


def _configure_sqlite(connection: Any, record: object) -> None:
    # The driver must not open transactions by itself: `_begin_immediate` does.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    # A deferred transaction that reads first and writes later fails under a concurrent writer; this one waits instead.
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
