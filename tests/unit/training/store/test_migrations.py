"""Revisions make what the tables say, on SQLite and PostgreSQL; older databases are taken, newer ones refused."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, event, inspect, text

from support.postgres import postgres
from symbiont.common.errors import FailedPrecondition
from symbiont.training.store import Store, tables
from symbiont.training.store.migrations import FOLDER, configuration, migrate

AT_ONCE = 8
VERSIONS = [file.name[1:5] for file in (FOLDER / "versions").glob("r*.py")]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/x.db"
    else:
        with postgres() as found:
            yield found.replace("postgresql://", "postgresql+psycopg://")


def differences(db: Connection) -> list[object]:
    # SQLite gives its defaults back in other words than they were given in.
    defaults = db.dialect.name == "postgresql"
    context = MigrationContext.configure(db, opts={"compare_type": True, "compare_server_default": defaults})
    return compare_metadata(context, tables.metadata)


def test_revision_by_revision_gives_what_the_tables_say(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as db:
        command.upgrade(configuration(db), "0001")
        assert "checkpoints" not in inspect(db).get_table_names()
        command.upgrade(configuration(db), "head")
        assert differences(db) == []
    with engine.begin() as db:
        # What is up to date stays as it is.
        migrate(db)
        assert differences(db) == []
    engine.dispose()


def test_an_empty_database_gets_the_same(url: str) -> None:
    Store(url).close()
    engine = create_engine(url)
    with engine.begin() as db:
        assert differences(db) == []
        version = db.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    engine.dispose()
    assert version == sorted(VERSIONS)[-1]


def test_controllers_that_open_an_empty_database_at_once_wait_for_the_first(url: str) -> None:
    together = threading.Barrier(AT_ONCE)

    def opened() -> None:
        together.wait()
        Store(url).close()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(opened) for _ in range(AT_ONCE)]:
            done.result()
    engine = create_engine(url)
    with engine.begin() as db:
        assert differences(db) == []
        assert len(db.execute(text("SELECT version_num FROM alembic_version")).all()) == 1
    engine.dispose()


def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    Store(url).close()
    with sqlite3.connect(tmp_path / "x.db") as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    db.close()
    with pytest.raises(FailedPrecondition, match=r"of a newer release \(9999\)") as caught:
        Store(url)
    assert caught.value.reason == "DATABASE_TOO_NEW"


def test_jobs_of_an_older_release_have_no_limits(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/x.db")
    event.listen(engine, "connect", lambda connection, record: connection.execute("PRAGMA foreign_keys=ON"))
    with engine.begin() as db:
        command.upgrade(configuration(db), "0001")
        spec = json.dumps({"base_model": "bases/b", "dataset": "datasets/d", "model": "models/m", "head_only": {}})
        digests = {f"{name}_digest": "a" for name in ("base", "tokenizer", "dataset", "evaluation_dataset")}
        inputs = json.dumps({**digests, "pooling": "mean"})
        db.exec_driver_sql(
            "INSERT INTO jobs (id, request_digest, state, attempt, last_seq, last_event, lost_in_a_row, spec, inputs,"
            " checkpoint_digest, model_version, create_time) VALUES ('job-1', 'd', 'QUEUED', 0, 0, 0, 0, ?, ?, '', '',"
            " '2026-01-01 00:00:00')",
            (spec, inputs),
        )
    engine.dispose()
    store = Store(f"sqlite:///{tmp_path}/x.db")
    job = store.job("job-1")
    assert (job.terms.tenant, job.terms.priority, job.terms.budget.cost, job.micro_batches) == ("default", 0, None, 1)
    assert store.begin_attempt("job-1", "me", 60).attempt == 1
    store.close()


def test_a_database_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="mysql is not supported: use sqlite:///file or postgresql://"):
        Store("mysql://localhost/x")
