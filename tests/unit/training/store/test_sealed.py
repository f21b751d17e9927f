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
from symbiont.training.promotion.types import Policy
from symbiont.training.store import Places, ShreddedJob, Store
from symbiont.training.types import (
    Dataset,
    Done,
    Evaluation,
    EvaluationStarted,
    Failure,
    FailureKind,
    Hello,
    Inputs,
    JobQuery,
    JobState,
    LogLine,
    Progress,
    ReleaseRules,
    WorkerReport,
)

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


EVALUATION = Evaluation(2, 0.5, 0.4, 0.7, (TEXT, "other"), ((1, 0), (1, 0)))


def of_tenant(store: Store, tenant: str) -> str:
    """Queues a job of a tenant."""
    spec = tiny_spec(dataset=f"datasets/{tenant}~rows", model=f"models/{tenant}~mood")
    job, _ = store.add_job(spec, Inputs("b" * 64, "t" * 64, "d" * 64, "", "mean"), "", "")
    store.validated(job.id, None)
    return job.id


def trained(store: Store, tenant: str) -> str:
    """Trains a version of a tenant, as the controller and a worker of this machine do: in nobody's name."""
    job = of_tenant(store, tenant)
    store.begin_attempt(job)
    progress = Progress(3, 10, 0.3, 0.9, 1e-3, 1.5, 2000.0, 4.0)
    said = [LogLine(TEXT), progress, EvaluationStarted(), EVALUATION, Done("e" * 64)]
    for seq, report in enumerate([Hello(1), *said]):
        store.take(WorkerReport(job, 1, seq, report))
    assert store.job(job).state is JobState.SUCCEEDED
    return job


def test_what_is_written_of_a_tenant_is_the_tenants_whoever_writes_it(store: Store, tmp_path: Path) -> None:
    job = trained(store, "acme")
    store.add_dataset(dataset("acme~rows"))
    store.set_policy("acme~mood", "production", Policy(rules=({"minimum": {"metric": TEXT}},)))
    store.take(WorkerReport(failed := begun(store, "acme"), 1, 1, Failure(FailureKind.DATA, TEXT)))
    assert store.job(failed).failure == Failure(FailureKind.DATA, TEXT)
    with closing(sqlite3.connect(tmp_path / "db")) as db:
        sealed = {
            (table, column): {str(value) for (value,) in db.execute(f"SELECT {column} FROM {table}") if value}
            for table, column in (
                *(("jobs", name) for name in ("spec", "inputs", "failure", "progress", "evaluation", "budget")),
                *((table, "body") for table in ("events", "datasets", "policies", "decisions")),
                ("versions", "evaluation"),
            )
        }
    for place, values in sealed.items():
        values -= {"null"}
        assert values, place
        assert all(value.startswith('"sealed:acme:') for value in values), place
    assert store.job(job).evaluation == EVALUATION


def begun(store: Store, tenant: str) -> str:
    job = of_tenant(store, tenant)
    store.begin_attempt(job)
    return job


def test_lists_of_everybody_go_on_without_a_shredded_tenant(store: Store, seals: Seals) -> None:
    jobs = {tenant: [trained(store, tenant) for _ in range(2)] for tenant in ("acme", "bank")}
    for model in ("acme~mood", "bank~mood"):
        store.set_alias(model, "production", 1)
        store.add_release(model, "production", 2, 10, False, ReleaseRules())
    seals.keyring.shred("acme")
    assert [alias.model for alias in store.aliases_after(0)] == ["bank~mood"]
    assert store.aliases_after(0)[0].release is not None
    assert [len(model.aliases) for model in store.models()] == [0, 1]
    # As long as it would be without the rows that are left out.
    assert [job.id for _, job in store.jobs(JobQuery(oldest_first=True), None, 2)] == jobs["bank"]
    assert [job.id for _, job in store.jobs(JobQuery(), None, 1)] == jobs["bank"][1:]
    assert [job.id for job in store.watched([*jobs["acme"], *jobs["bank"]])] == jobs["bank"]
    assert store.count_by_state()[JobState.SUCCEEDED] == 4
    with pytest.raises(TenantShredded):
        store.version("acme~mood", 1)


def test_a_worker_of_a_shredded_tenant_is_refused_and_its_job_given_up(store: Store, seals: Seals) -> None:
    job = begun(store, "acme")
    store.cancel(job, "asked")
    seals.keyring.shred("acme")
    for call in (
        lambda: store.take(WorkerReport(job, 1, 1, LogLine(TEXT))),
        lambda: store.lose_attempt(job, 1, "its process is gone"),
        lambda: of_tenant(store, "acme"),
    ):
        with pytest.raises(TenantShredded):
            call()
    store.give_up(job)
    assert store.count_by_state()[JobState.CANCELLED] == 1


def test_a_job_that_was_stored_in_plain_is_given_up_too(tmp_path: Path, seals: Seals) -> None:
    plain = Store(f"sqlite:///{tmp_path}/db")
    job = of_tenant(plain, "acme")
    plain.close()
    seals.keyring.newest("acme")
    seals.keyring.shred("acme")
    store = Store(f"sqlite:///{tmp_path}/db", seals=seals)
    with pytest.raises(ShreddedJob, match=job):
        store.claim("me", 10, Places(1, 0))
    store.close()


def test_what_a_shredded_tenant_had_keeps_no_subject_from_being_forgotten(store: Store, seals: Seals) -> None:
    trained(store, "acme")
    job = trained(store, "bank")
    seals.keyring.shred("acme")
    users = store.users_of(["d" * 64])
    assert [each.id for each in users.jobs] == [job]
    assert [version.model for version in users.versions] == ["bank~mood"]
    _, users = store.erase("s" * 64, {}, ["d" * 64], [])
    assert users.learnt == {job}
