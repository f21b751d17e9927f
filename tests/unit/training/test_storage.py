"""What tenants store is added up by what the registry keeps, and what is beyond their limit is not begun."""

from contextlib import closing

import pytest

from support.registry import tiny_spec, upload
from support.tiny import csv_of, labelled_rows
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import ResourceExhausted
from symbiont.training.data.datasets import Upload, keep
from symbiont.training.data.header import Header
from symbiont.training.data.rows import KIND, ROWS
from symbiont.training.jobs import Jobs
from symbiont.training.notifier import Notifier
from symbiont.training.storage import MIB, Storage
from symbiont.training.store import Held, Places, Store
from symbiont.training.types import CheckpointSaved, Hello, JobQuery, WorkerReport

CONTENT = csv_of(labelled_rows(40))


def size_of(artifacts: ArtifactStore, digest: str) -> int:
    return int(artifacts.manifest(KIND, digest)["files"][ROWS]["size"])


@pytest.fixture
def stocked(registry: Store, artifacts: ArtifactStore) -> Store:
    """With datasets/rows of the installation, of the bank (twice the same), and of the shop."""
    for identifier in ("bank~rows", "bank~again", "shop~rows"):
        registry.add_dataset(upload(artifacts, CONTENT, identifier))
    return registry


def test_the_same_artifact_is_counted_once(stocked: Store, artifacts: ArtifactStore) -> None:
    storage = Storage(stocked, artifacts, {"bank": 1, "*": 2})
    size = size_of(artifacts, stocked.dataset("bank~rows").digest)
    assert storage.room("bank~new").used == {"datasets": size}
    assert storage.room("datasets/bank~new").limit == MIB
    assert storage.room("shop~new").limit == 2 * MIB
    assert storage.measure() == {"": size, "bank": size, "shop": size}
    digests = {held.digest for held in stocked.holdings()}
    assert len(digests) == 3
    assert stocked.holdings("bank") == {Held("bank", "datasets", stocked.dataset("bank~again").digest)}


def test_a_name_that_begins_alike_is_another(stocked: Store, artifacts: ArtifactStore) -> None:
    stocked.add_dataset(upload(artifacts, CONTENT, "bank-2~rows"))
    assert {held.owner for held in stocked.holdings("bank")} == {"bank"}
    assert {held.owner for held in stocked.holdings("")} == {""}


@pytest.mark.parametrize("limits", [{}, {"shop": 1e-6}, {"bank": 0, "*": 1e-6}])
def test_who_has_no_limit(stocked: Store, artifacts: ArtifactStore, limits: dict[str, float]) -> None:
    Storage(stocked, artifacts, limits).room("bank~new").check(1 << 40)


def test_the_installation_has_none(stocked: Store, artifacts: ArtifactStore) -> None:
    Storage(stocked, artifacts, {"*": 1e-6, "": 1e-6}).room("new").check(1 << 40)


def test_what_is_deleted_makes_room(stocked: Store, artifacts: ArtifactStore) -> None:
    size = size_of(artifacts, stocked.dataset("bank~rows").digest)
    storage = Storage(stocked, artifacts, {"bank": size / MIB})
    with pytest.raises(ResourceExhausted, match=r"stores .* MiB \(datasets .*\): delete datasets") as caught:
        storage.room("bank~new").check()
    assert caught.value.reason == "TENANT_STORAGE"
    for identifier in ("bank~rows", "bank~again"):
        stocked.delete_dataset(identifier)
    storage.room("bank~new").check()


def test_what_is_gone_from_the_store_does_not_count(stocked: Store, artifacts: ArtifactStore) -> None:
    artifacts.delete(KIND, stocked.dataset("shop~rows").digest)
    assert Storage(stocked, artifacts, {}).measure()["shop"] == 0


async def test_checkpoints_count_for_whoever_owns_the_job(stocked: Store, artifacts: ArtifactStore) -> None:
    jobs = Jobs(stocked, artifacts, Notifier())
    job = await jobs.create(tiny_spec(dataset="datasets/bank~rows", model="models/bank~mood"), "")
    await jobs.validate(job.id)
    assert await jobs.claim("me", 60, Places(10))
    digest = artifacts.put("checkpoints", {"state": b"x" * 1000}, {})
    await jobs.take(WorkerReport(job.id, 1, 0, Hello(1)))
    await jobs.take(WorkerReport(job.id, 1, 1, CheckpointSaved(3, digest, None)))
    assert Storage(stocked, artifacts, {"*": 1}).room("bank~new").used["checkpoints"] == 1000


def pending_upload(stocked: Store, artifacts: ArtifactStore, left: int) -> Upload:
    """An upload of the bank, which has so many bytes left."""
    size = size_of(artifacts, stocked.dataset("bank~rows").digest)
    room = Storage(stocked, artifacts, {"bank": (size + left) / MIB}).room("bank~new")
    return Upload(Header("bank~new", "CSV", "", ""), 1 << 20, room=room)


def test_a_file_that_goes_over_is_refused_as_it_comes(stocked: Store, artifacts: ArtifactStore) -> None:
    with closing(pending_upload(stocked, artifacts, len(CONTENT))) as upload_:
        upload_.write(CONTENT)
        with pytest.raises(ResourceExhausted, match="more: delete datasets"):
            upload_.write(b"x")


def test_rows_that_are_more_than_their_file_are_refused(stocked: Store, artifacts: ArtifactStore) -> None:
    with closing(pending_upload(stocked, artifacts, len(CONTENT))) as upload_:
        upload_.write(CONTENT)
        with pytest.raises(ResourceExhausted, match="more: delete datasets"):
            upload_.check()


def test_of_two_uploads_at_a_time_the_second_is_refused(stocked: Store, artifacts: ArtifactStore) -> None:
    """Each alone would fit; nothing of the second is stored."""
    size = size_of(artifacts, stocked.dataset("bank~rows").digest)
    storage = Storage(stocked, artifacts, {"bank": 2.5 * size / MIB})
    files = {"bank~one": csv_of(labelled_rows(40, seed=1)), "bank~two": csv_of(labelled_rows(40, seed=2))}
    uploads = [Upload(Header(name, "CSV", "", ""), 1 << 20, room=storage.room(name)) for name in files]
    for each, content in zip(uploads, files.values(), strict=True):
        each.write(content)
        each.check()
    keep(uploads[0], stocked, artifacts, storage.room)
    before = artifacts.list(KIND)
    with pytest.raises(ResourceExhausted):
        keep(uploads[1], stocked, artifacts, storage.room)
    assert artifacts.list(KIND) == before
    for each in uploads:
        each.close()


async def test_a_job_is_refused_before_it_is_added_and_known_if_it_was(
    stocked: Store, artifacts: ArtifactStore
) -> None:
    spec = tiny_spec(dataset="datasets/bank~rows", model="models/bank~mood")
    made = await Jobs(stocked, artifacts, Notifier()).create(spec, "bank~first")
    full = Jobs(stocked, artifacts, Notifier(), room=Storage(stocked, artifacts, {"bank": 1e-6}).room)
    assert (await full.create(spec, "bank~first")).id == made.id
    for refused in (full.create(spec, "bank~second"), full.check(spec)):
        with pytest.raises(ResourceExhausted):
            await refused
    assert len(stocked.jobs(JobQuery(), None, 10)) == 1
    await full.create(tiny_spec(dataset="datasets/shop~rows", model="models/shop~mood"), "")
