"""Stores that encrypt: of tenants apart from each other, in a folder and as objects."""

import json
import shutil
import uuid
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from support.sealed import keyring_of, places_with, sealed_store
from symbiont.common.artifacts import MANIFEST, ArtifactStore, hand_over, take_over
from symbiont.common.artifacts.decrypted import Decrypted
from symbiont.common.encryption import ENCRYPTION_VARIABLE, MASTER_KEY_VARIABLE, Seals, keyring
from symbiont.common.errors import FailedPrecondition, IntegrityError, TenantShredded

TEXT = b"a customer's text\n" * 9000
FIELDS = {"labels": ["what a customer calls it"]}


@pytest.fixture(autouse=True)
def no_memory_of_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "BELIEVED_S", 0.0)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return sealed_store(tmp_path / "root", tmp_path / "key")


def of(tmp_path: Path, tenant: str) -> ArtifactStore:
    return sealed_store(tmp_path / "root", tmp_path / "key", tenant)


def test_what_is_stored_is_read_and_does_not_show(store: ArtifactStore, tmp_path: Path) -> None:
    digest = store.put("datasets", {"rows": TEXT, "deep/more": b"x"}, FIELDS)
    assert store.read("datasets", digest, "rows") == TEXT
    with store.open("datasets", digest, "rows") as stream:
        stream.seek(100_000)
        assert stream.read(50) == TEXT[100_000:100_050]
    assert store.manifest("datasets", digest)["labels"] == FIELDS["labels"]
    assert (store.path("datasets", digest) / "deep" / "more").read_bytes() == b"x"
    assert places_with(["a customer"], tmp_path) == []


def test_the_installations_digests_are_those_of_the_content(store: ArtifactStore, tmp_path: Path) -> None:
    plain = ArtifactStore(tmp_path / "plain")
    assert store.put("datasets", {"rows": TEXT}, FIELDS) == plain.put("datasets", {"rows": TEXT}, FIELDS)


def test_equal_content_of_two_tenants_is_two_artifacts_and_of_one_it_is_one(tmp_path: Path) -> None:
    acme, globex = of(tmp_path, "acme"), of(tmp_path, "globex")
    digests = [each.put("datasets", {"rows": TEXT}, FIELDS) for each in (acme, globex, acme)]
    assert digests[0] == digests[2] != digests[1]
    acme.seals.keyring.rotate("acme")
    assert of(tmp_path, "acme").put("datasets", {"rows": TEXT}, FIELDS) == digests[0]
    # What tells tenants apart is nothing that readers see.
    assert acme.manifest("datasets", digests[0]) == globex.manifest("datasets", digests[1])


def test_a_shredded_tenant_is_unreadable_and_others_are_not(tmp_path: Path) -> None:
    acme, globex = of(tmp_path, "acme"), of(tmp_path, "globex")
    gone, kept = (each.put("datasets", {"rows": TEXT}, {}) for each in (acme, globex))
    folder = acme.path("datasets", gone)
    assert (folder / "rows").exists()
    globex.seals.keyring.shred("acme")
    for read in (acme.read, acme.open):
        with pytest.raises(TenantShredded, match="acme"):
            read("datasets", gone, "rows")
    for look in (acme.manifest, acme.path, of(tmp_path, "acme").check):
        with pytest.raises(TenantShredded):
            look("datasets", gone)
    with pytest.raises(TenantShredded):
        acme.put("datasets", {"rows": b"new"}, {})
    assert globex.read("datasets", kept, "rows") == TEXT
    # It can be removed like any other.
    acme.delete("datasets", gone)
    assert acme.list("datasets") == [kept]


def test_a_new_key_writes_and_the_old_one_still_reads(store: ArtifactStore, tmp_path: Path) -> None:
    before = store.put("datasets", {"rows": TEXT}, {})
    raw = (tmp_path / "root" / "datasets" / before / "rows").read_bytes()
    store.seals.keyring.rotate("")
    store.seals.keyring.rotate_master()
    after = store.put("datasets", {"rows": b"new"}, {})
    again = of(tmp_path, "")
    assert (again.read("datasets", before, "rows"), again.read("datasets", after, "rows")) == (TEXT, b"new")
    assert (tmp_path / "root" / "datasets" / before / "rows").read_bytes() == raw
    assert b'"version":2' in (tmp_path / "root" / "datasets" / after / "rows").read_bytes()[:300]


def test_what_is_plain_is_read_and_encrypted_when_it_is_written_again(store: ArtifactStore, tmp_path: Path) -> None:
    plain = ArtifactStore(tmp_path / "root")
    digest = plain.put("datasets", {"rows": TEXT}, {})
    assert store.read("datasets", digest, "rows") == TEXT
    assert store.is_public("datasets", digest)
    assert store.put("datasets", {"rows": TEXT}, {}) == digest
    assert not store.is_public("datasets", digest)
    assert places_with(["a customer"], tmp_path) == []
    # And not the other way round.
    assert plain.exists("datasets", digest)
    assert (
        ArtifactStore(tmp_path / "root", seals=Seals(store.seals.keyring, on=False)).read("datasets", digest, "rows")
        == TEXT
    )


def test_what_anybody_can_have_stays_plain(store: ArtifactStore, tmp_path: Path) -> None:
    digest = store.public().put("bases", {"weights": b"published"}, {})
    assert store.path("bases", digest) == tmp_path / "root" / "bases" / digest
    assert store.like("bases", digest).put("graphs", {"graph": b"of it"}, {})
    assert places_with(["published", "of it"], tmp_path) != []


def test_what_is_made_of_an_artifact_is_its_tenants(store: ArtifactStore, tmp_path: Path) -> None:
    base = of(tmp_path, "acme").put("bases", {"weights": b"learnt"}, {})
    graph = store.like("bases", base).put("graphs", {"graph": b"of it"}, {})
    store.seals.keyring.shred("acme")
    with pytest.raises(TenantShredded):
        store.read("graphs", graph, "graph")


def test_files_that_were_exchanged_are_found(store: ArtifactStore, tmp_path: Path) -> None:
    digests = [store.put("datasets", {"rows": content, "same": b"x"}, {}) for content in (b"one", b"two")]
    first, second = (tmp_path / "root" / "datasets" / digest for digest in digests)
    shutil.copy(second / "rows", first / "rows")
    with pytest.raises(IntegrityError, match=f"{digests[0]}: file rows"):
        store.open("datasets", digests[0], "rows")
    shutil.copy(second / MANIFEST, first / MANIFEST)
    with pytest.raises(IntegrityError, match=digests[0]):
        store.manifest("datasets", digests[0])


def test_a_plain_file_in_the_place_of_an_encrypted_one_is_found(store: ArtifactStore, tmp_path: Path) -> None:
    digest = store.put("datasets", {"rows": TEXT}, {})
    (tmp_path / "root" / "datasets" / digest / "rows").write_bytes(b"something else")
    with pytest.raises(IntegrityError, match="file rows"):
        store.open("datasets", digest, "rows")


def test_a_spool_becomes_a_file_and_leaves_nothing(store: ArtifactStore, tmp_path: Path) -> None:
    with store.spool("datasets") as spool:
        spool.write(TEXT)
        digest = store.put("datasets", {"rows": spool}, {})
    assert digest == ArtifactStore(tmp_path / "plain").put("datasets", {"rows": TEXT}, {})
    assert store.read("datasets", digest, "rows") == TEXT
    assert [path.name for path in (tmp_path / "root" / "datasets").iterdir()] == [digest]


def test_objects_and_their_cache_are_encrypted_too(tmp_path: Path) -> None:
    root = f"memory://{uuid.uuid4().hex}/artifacts"
    store = sealed_store(root, tmp_path / "key", "acme", tmp_path / "cache")
    digest = store.put("bundles", {"head": TEXT}, FIELDS)
    other = sealed_store(root, tmp_path / "key", "", tmp_path / "other")
    assert other.read("bundles", digest, "head") == TEXT
    assert other.manifest("bundles", digest)["labels"] == FIELDS["labels"]
    files = MemoryFileSystem().find(root)
    assert files
    assert not any(b"a customer" in MemoryFileSystem().cat_file(file) for file in files)
    assert places_with(["a customer"], tmp_path) == []
    keyring_of(root, tmp_path / "key").shred("acme")
    for each in (store, other):
        with pytest.raises(TenantShredded):
            each.read("bundles", digest, "head")


def test_a_text_is_handed_over_by_its_root(
    store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = hand_over(store, json.dumps(FIELDS), "acme")
    assert "customer" not in left
    monkeypatch.setenv(MASTER_KEY_VARIABLE, f"file:{tmp_path / 'key'}")
    assert json.loads(take_over(left)) == FIELDS
    assert take_over(hand_over(ArtifactStore(tmp_path / "plain"), "{}", "")) == "{}"


def test_without_a_master_key_it_is_said_what_to_set(
    store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = store.put("datasets", {"rows": TEXT}, {})
    with pytest.raises(FailedPrecondition, match=MASTER_KEY_VARIABLE):
        ArtifactStore(tmp_path / "root").read("datasets", digest, "rows")
    monkeypatch.setenv(ENCRYPTION_VARIABLE, "on")
    with pytest.raises(FailedPrecondition, match=MASTER_KEY_VARIABLE):
        ArtifactStore(tmp_path / "root")


def test_no_room_in_memory_is_told(store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = store.put("bases", {"weights": TEXT}, {})
    monkeypatch.setattr("symbiont.common.artifacts.decrypted._of_this_process", lambda: Decrypted(tmp_path / "none"))
    with pytest.raises(FailedPrecondition, match="is not there or not writable"):
        store.path("bases", digest)
