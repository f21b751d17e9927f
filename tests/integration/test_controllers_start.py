"""Controllers that start at once on one PostgreSQL: one makes or changes the tables, the others wait, and all serve."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import create_engine, inspect, text

from support.postgres import postgres
from support.sampling import few
from support.service import ServiceProcess
from symbiont.training.store import tables
from symbiont.training.store.migrations import configuration

AT_ONCE = 2


@pytest.fixture
def url() -> Iterator[str]:
    with postgres() as found:
        yield found


@pytest.mark.parametrize("state", few(["empty", "of an older release"], "of an older release"))
def test_two_controllers_start_at_once(state: str, url: str, tmp_path: Path) -> None:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    if state != "empty":
        with engine.begin() as db:
            command.upgrade(configuration(db), "0001")
    tokenization = ServiceProcess("tokenization", tmp_path, artifact_root=tmp_path / "artifacts").start()
    folders = [tmp_path / str(number) for number in range(AT_ONCE)]
    for folder in folders:
        folder.mkdir()
    settings = {
        "database_url": url,
        "artifact_root": tmp_path / "artifacts",
        "tokenization_address": tokenization.address,
        "warm_workers": False,
    }
    controllers = [ServiceProcess("training", folder, state_root=folder / "jobs", **settings) for folder in folders]
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            # Each raises where its process has ended instead.
            list(pool.map(ServiceProcess.start, controllers))
        assert all(controller.process.poll() is None for controller in controllers)
        with engine.begin() as db:
            assert set(tables.metadata.tables) <= set(inspect(db).get_table_names())
            assert len(db.execute(text("SELECT version_num FROM alembic_version")).all()) == 1
        said = {event["event"] for controller in controllers for event in controller.events()}
        assert said & {"unexpected error", "background work failed and begins again"} == set()
    finally:
        for service in (*controllers, tokenization):
            service.end()
        engine.dispose()
