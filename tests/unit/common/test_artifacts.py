"""An artifact is whole or absent, and every byte of it is pinned by its digest."""

import hashlib
from pathlib import Path
from threading import Thread

import pytest

from symbiont.common.artifacts import MANIFEST, ArtifactStore, canonical_json
from symbiont.common.errors import AlreadyExists, IntegrityError, NotFound


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


def test_what_was_put_is_found_under_the_digest_of_its_manifest(store: ArtifactStore, tmp_path: Path) -> None:
    source = tmp_path / "weights"
    source.write_bytes(b"1234")
    digest = store.put("bundles", {"a.json": b"{}", "sub/weights.bin": source}, {"kind": "bundle"})
    folder = store.path("bundles", digest)
    assert (folder / "sub/weights.bin").read_bytes() == b"1234"
    assert hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest() == digest
    manifest = store.manifest("bundles", digest)
    assert manifest["kind"] == "bundle"
    assert manifest["files"]["sub/weights.bin"] == {"sha256": hashlib.sha256(b"1234").hexdigest(), "size": 4}


def test_equal_content_has_one_digest_however_it_comes(store: ArtifactStore) -> None:
    first = store.put("k", {"a": b"1", "b": b"2"}, {"x": 1, "y": "一"})
    assert store.put("k", {"b": b"2", "a": b"1"}, {"y": "一", "x": 1}) == first
    assert store.list("k") == [first]
    assert [p.name for p in (store.root / "k").iterdir()] == [first]


def test_writers_of_the_same_content_do_not_disturb_each_other(store: ArtifactStore) -> None:
    digests: list[str] = []
    threads = [Thread(target=lambda: digests.append(store.put("k", {"a": b"1" * 100_000}, {}))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(digests) == 8
    assert len(set(digests)) == 1
    assert store.path("k", digests[0])


def test_canonical_json_is_one_string_for_one_value() -> None:
    assert canonical_json({"b": 1, "a": "é"}) == '{"a":"é","b":1}'.encode()
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json(float("nan"))


@pytest.mark.parametrize("name", ["../x", "/x", "a/../b", ".hidden", MANIFEST, "", "a//b"])
def test_a_file_name_that_leaves_the_folder_is_refused(store: ArtifactStore, name: str) -> None:
    with pytest.raises(ValueError, match="not allowed"):
        store.put("k", {name: b""}, {})
    assert store.list("k") == []


def damage_content(folder: Path) -> None:
    (folder / "a").write_bytes(b"2")


def damage_size(folder: Path) -> None:
    (folder / "a").write_bytes(b"11")


def remove_file(folder: Path) -> None:
    (folder / "a").unlink()


def link_file(folder: Path) -> None:
    (folder / "a").rename(folder / "elsewhere")
    (folder / "a").symlink_to(folder / "elsewhere")


def damage_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_bytes((folder / MANIFEST).read_bytes() + b" ")


@pytest.mark.parametrize("damage", [damage_content, damage_size, remove_file, link_file, damage_manifest])
def test_damage_is_found_before_use(store: ArtifactStore, damage: object) -> None:
    digest = store.put("k", {"a": b"1"}, {})
    damage(store.root / "k" / digest)  # type: ignore[operator]
    with pytest.raises(IntegrityError):
        ArtifactStore(store.root).path("k", digest)


@pytest.mark.parametrize("digest", ["0" * 64, "short", "../../etc", "A" * 64])
def test_what_is_not_there_is_not_found(store: ArtifactStore, digest: str) -> None:
    assert not store.exists("k", digest)
    with pytest.raises(NotFound):
        store.path("k", digest)
    store.delete("k", digest)


def test_a_deleted_artifact_is_gone_even_if_it_was_verified(store: ArtifactStore) -> None:
    digest = store.put("k", {"a": b"1"}, {})
    store.path("k", digest)
    store.delete("k", digest)
    assert store.list("k") == []
    with pytest.raises(NotFound):
        store.path("k", digest)


def test_a_listing_leaves_out_what_is_no_artifact(store: ArtifactStore) -> None:
    digest = store.put("k", {"a": b"1"}, {})
    (store.root / "k" / ".half-written").mkdir()
    assert store.list("k") == [digest]
    assert store.list("nothing-here") == []


def test_a_damaged_artifact_is_mended_by_storing_it_again(store: ArtifactStore) -> None:
    digest = store.put("bundles", {"a": b"whole"}, {})
    (store.path("bundles", digest) / "a").write_bytes(b"harmed")
    assert store.put("bundles", {"a": b"whole"}, {}) == digest
    assert (store.path("bundles", digest) / "a").read_bytes() == b"whole"
    assert [p.name for p in (store.root / "bundles").iterdir()] == [digest]


def test_what_a_killed_writer_left_goes_after_a_while(store: ArtifactStore) -> None:
    digest = store.put("bundles", {"a": b"whole"}, {})
    left = store.root / "bundles" / ".0123"
    left.mkdir()
    assert store.sweep() == 0
    assert left.is_dir()
    assert store.sweep(older_than_seconds=-1) == 1
    assert store.list("bundles") == [digest]
    assert not left.exists()


def test_an_id_is_given_once_and_goes_with_its_artifact(store: ArtifactStore) -> None:
    first, second = store.put("k", {"a": b"1"}, {}), store.put("k", {"a": b"2"}, {})
    for identifier in ("bank", "clinic", "bank"):
        store.tag("k", identifier, first)
    assert store.resolve("k", "bank") == first
    assert store.tags("k") == {first: ["bank", "clinic"]}
    with pytest.raises(AlreadyExists, match="bank"):
        store.tag("k", "bank", second)
    with pytest.raises(NotFound):
        store.tag("k", "nobody", "0" * 64)
    for identifier in ("nobody", "", "../k", "a/b"):
        with pytest.raises(NotFound):
            store.resolve("k", identifier)
    assert store.list("k") == sorted([first, second])
    store.delete("k", first)
    assert store.tags("k") == {}
    store.tag("k", "bank", second)
    assert store.resolve("k", "bank") == second


def test_of_writers_that_want_one_id_one_gets_it(store: ArtifactStore) -> None:
    digests = [store.put("k", {"a": str(i).encode()}, {}) for i in range(8)]
    refused: list[str] = []

    def tag(digest: str) -> None:
        try:
            store.tag("k", "bank", digest)
        except AlreadyExists:
            refused.append(digest)

    threads = [Thread(target=tag, args=[digest]) for digest in digests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {store.resolve("k", "bank"), *refused} == set(digests)
    assert len(refused) == 7
