"""Access to the database that every part of the store shares.

SQLite (WAL, synchronous=FULL) is the default, for one controller: every write takes its one write lock first.
PostgreSQL serves several controllers: writes that count something across rows (revisions, version numbers, places in
use) take one advisory lock, those of a job lock its row, and `NOTIFY` tells the other controllers what is new.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from threading import Lock
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, Select, create_engine, event, make_url, select, text
from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.exc import NoSuchModuleError

from symbiont.common.encryption import PLAIN, Seals
from symbiont.common.errors import FailedPrecondition, NotFound, SymbiontError
from symbiont.training.store.migrations import migrate
from symbiont.training.store.sealed import SealedJson, Shredded

POSTGRESQL = "postgresql"
# Names of advisory locks, of NOTIFY's channel.
REGISTRY_LOCK, MIGRATION_LOCK = 0x53594D01, 0x53594D02
CHANNEL = "symbiont"
# The topic of news of aliases; all others are ids of jobs.
ALIASES = "aliases"


class Database:
    """Transactions and plain reads. Methods block: the service calls them from threads."""

    def __init__(self, url: str, seals: Seals = PLAIN) -> None:
        """Opens a database and brings its tables up to date; `seals` encrypt its columns of JSON.

        Raises:
            FailedPrecondition: it is of a kind that is not supported, newer than this release, or too old.
        """
        self.url = _with_driver(url)
        self._engine = _engine(self.url, seals)
        # SQLite lets a writer try again and again, later each time: of many threads the unlucky wait for a second.
        self._turn: AbstractContextManager[object] = nullcontext() if self.shared else Lock()
        with self._engine.begin() as db:
            if self.shared:
                db.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
            migrate(db)

    @property
    def shared(self) -> bool:
        """Whether other controllers may write at the same time."""
        return self.url.get_backend_name() == POSTGRESQL

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        """A transaction that no other of its kind runs beside: it may count across rows, and lock them.

        The lock comes before those of rows. A transaction that took it later would wait for one that waits for its row.
        """
        with self._turn, self._engine.begin() as connection:
            if self.shared:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": REGISTRY_LOCK})
            yield connection

    @contextmanager
    def _write_row(self) -> Iterator[Connection]:
        """A transaction that locks the rows it reads to change them, by `with_for_update`."""
        with self._turn, self._engine.begin() as connection:
            yield connection

    def _tell(self, db: Connection, topic: str) -> None:
        """Tells other controllers that a topic has news, when the transaction commits."""
        if self.shared:
            db.execute(text("SELECT pg_notify(:channel, :topic)"), {"channel": CHANNEL, "topic": topic})

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            yield connection

    def _all(self, query: Select[Any]) -> list[dict[str, Any]]:
        """Returns rows; those of a tenant whose keys were destroyed are left out, so that they hide no others."""
        with self._read() as db:
            return readable(db.execute(query).mappings())

    def _get(self, table: Any, collection: str, identifier: str) -> dict[str, Any]:
        with self._read() as db:
            row = db.execute(select(table).where(table.c.id == identifier)).mappings().first()
        if row is None:
            raise NotFound(f"{collection}/{identifier} does not exist", field="name")
        return dict(row)


def readable(rows: Iterable[RowMapping]) -> list[dict[str, Any]]:
    """Returns the rows but those of a tenant whose keys were destroyed."""
    return [dict(row) for row in rows if not any(isinstance(value, Shredded) for value in row.values())]


def _with_driver(url: str) -> URL:
    parsed = make_url(url)
    if parsed.drivername in ("postgres", POSTGRESQL):
        return parsed.set(drivername=f"{POSTGRESQL}+psycopg")
    if parsed.get_backend_name() not in ("sqlite", POSTGRESQL):
        name = parsed.get_backend_name()
        raise FailedPrecondition(f"database_url: {name} is not supported: use sqlite:///file or postgresql://host/name")
    return parsed


class _Own:
    """Calls a method as no function does: psycopg takes methods of one class for one another, whatever their object.

    It keeps what it makes of a function by the function's code, so that a second store in a process would encrypt as
    the first one does, or not at all.
    """

    def __init__(self, method: Callable[[Any], Any]) -> None:
        self._method = method

    def __call__(self, value: Any) -> Any:
        return self._method(value)


def _engine(url: URL, seals: Seals) -> Engine:
    json = SealedJson(seals)
    forms = {"json_serializer": _Own(json.dumps), "json_deserializer": _Own(json.loads)}
    if url.get_backend_name() == "sqlite":
        if url.database:
            Path(url.database).absolute().parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(url, **forms)
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_immediate)
    else:
        try:
            # A server that was restarted is noticed before a statement fails on it.
            engine = create_engine(url, pool_pre_ping=True, pool_size=16, max_overflow=16, **forms)
        except (ModuleNotFoundError, NoSuchModuleError) as exc:
            message = "PostgreSQL needs its driver: pip install 'symbiont[postgresql]'"
            raise FailedPrecondition(message, reason="DRIVER_MISSING") from exc
    event.listen(engine, "handle_error", _as_it_was)
    return engine


def _configure_sqlite(connection: Any, record: object) -> None:
    # The driver must not open transactions by itself: `_begin_immediate` does.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
        connection.execute(f"PRAGMA {pragma}")


def _as_it_was(context: ExceptionContext) -> SymbiontError | None:
    """Keeps what columns of JSON raise, as that a tenant's keys were destroyed, from becoming an error of SQL."""
    error = context.original_exception
    return error if isinstance(error, SymbiontError) else None


def _begin_immediate(connection: Connection) -> None:
    # A deferred transaction that reads first and writes later fails under a concurrent writer; this one waits instead.
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
