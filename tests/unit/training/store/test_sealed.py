"""Columns of JSON under keys: nothing of them shows, and a tenant that was shredded holds up nobody."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from support.postgres import postgres
from support.registry import tiny_spec
from support.sealed import keyring_of, places_with
from symbiont.common import principal
from symbiont.common.encryption import Seals, keyring
from symbiont.common.errors import TenantShredded
from symbiont.common.principal import Principal
from symbiont.training.store import Places, ShreddedJob, Store
from symbiont.training.types import Dataset, Inputs, JobQuery, JobState

TEXT = "what a customer calls it"


@contextmanager
def caller(tenant: str) -> Iterator[None]:
    token = principal._current.set(Principal("ana", tenant))
    try:
        yield
    finally:
        principal._current.reset(token)


@pytest.fixture
def seals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Seals:
    monkeypatch.setattr(keyring, "BELIEVED_S", 0.0)
    return Seals(keyring_of(tmp_path / "root", tmp_path / "key"), on=True)


@pytest.fixture
def store(tmp_path: Path, seals: Seals) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path}/db", seals=seals)
    yield store
    store.close()


def dataset(identifier: str) -> Dataset:
    counts = ((TEXT, 3), ("other", 4))
    when = datetime(2026, 1, 1, tzinfo=UTC)
    return Dataset(identifier, "CSV", "text", "label", 7, 100, counts, "d" * 64, create_time=when)


def queued(store: Store) -> str:
    job, _ = store.add_job(tiny_spec(model="models/mood"), Inputs("b" * 64, "t" * 64, "d" * 64, "", "mean"), "", "")
    store.validated(job.id, None)
    return job.id


def test_nothing_of_them_shows_on_the_disk(store: Store, tmp_path: Path) -> None:
    store.add_dataset(dataset("rows"))
    assert store.dataset("rows").label_counts[0] == (TEXT, 3)
    assert places_with([TEXT], tmp_path) == []


def test_nothing_of_them_shows_in_postgresql(seals: Seals) -> None:
    with postgres() as url:
        # One that encrypts nothing, and was there before: the driver must not take the two for the same.
        Store(url).close()
        store = Store(url, seals=seals)
        for tenant in ("acme", "bank"):
            with caller(tenant):
                store.add_dataset(dataset(f"{tenant}~rows"))
        assert store.dataset("acme~rows").label_counts[0] == (TEXT, 3)
        # What is written lies in the files of tables, and in the log of what was to be written.
        data = Path(url.rpartition("=")[2]) / "data"
        assert places_with(["acme~rows"], data)
        assert places_with([TEXT], data) == []
        seals.keyring.shred("acme")
        assert [found.id for found in store.datasets()] == ["bank~rows"]
        store.close()


def test_what_earlier_releases_have_written_is_read(tmp_path: Path, seals: Seals) -> None:
    plain = Store(f"sqlite:///{tmp_path}/db")
    written = plain.add_dataset(dataset("rows"))
    plain.close()
    store = Store(f"sqlite:///{tmp_path}/db", seals=seals)
    assert store.dataset("rows") == written
    store.close()


def test_jobs_are_found_by_what_is_encrypted(store: Store) -> None:
    job = queued(store)
    assert [found.id for _, found in store.jobs(JobQuery(model="mood"), None, 10)] == [job]
    assert store.jobs(JobQuery(model="other"), None, 10) == []


def test_rows_of_a_shredded_tenant_fail_alone(store: Store, seals: Seals) -> None:
    for tenant in ("acme", "globex"):
        with caller(tenant):
            store.add_dataset(dataset(f"{tenant}-rows"))
    seals.keyring.shred("acme")
    assert [found.id for found in store.datasets()] == ["globex-rows"]
    assert store.dataset("globex-rows").label_counts[0] == (TEXT, 3)
    with pytest.raises(TenantShredded, match="acme"):
        store.dataset("acme-rows")


def test_a_job_of_a_shredded_tenant_is_given_up_and_the_next_one_goes(store: Store, seals: Seals) -> None:
    with caller("acme"):
        first = queued(store)
    second = queued(store)
    seals.keyring.shred("acme")
    with pytest.raises(ShreddedJob, match=first):
        store.claim("me", 10, Places(1, 0))
    store.give_up(first)
    claimed = store.claim("me", 10, Places(1, 0))
    assert claimed is not None
    assert claimed.id == second
    assert store.count_by_state()[JobState.FAILED] == 1


def test_a_changed_value_is_found(store: Store, tmp_path: Path) -> None:
    store.add_dataset(dataset("rows"))
    with closing(sqlite3.connect(tmp_path / "db")) as db, db:
        ((stored,),) = db.execute("SELECT body FROM datasets").fetchall()
        value = json.loads(stored)
        db.execute("UPDATE datasets SET body = ?", (json.dumps(value[:-6] + "AAAA" + value[-2:]),))
    with pytest.raises(Exception, match="it was changed"):
        store.dataset("rows")
