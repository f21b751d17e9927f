"""A change leads from one version to the next, whole or not at all, whoever else writes."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import FailedPrecondition, IntegrityError, NotFound
from symbiont.inference.catalogues import change as changing
from symbiont.inference.catalogues.change import Change, SizeLimits, commit
from symbiont.inference.catalogues.shelf import load
from symbiont.inference.catalogues.types import CatalogueVersion
from symbiont.inference.catalogues.versions import Versions

from .conftest import SALT, make_change, make_pin, real_like

LIMITS = SizeLimits(1000, 1000)
Create = Callable[..., CatalogueVersion]
During = Callable[[str, Callable[[Versions], object]], None]


def test_entries_keep_their_places(versions: Versions, create: Create) -> None:
    create()
    first, second = real_like(4, 4, 1), real_like(3, 4, 2)
    commit(versions, "faq", make_change("abcd", first), LIMITS)
    made, deleted = commit(versions, "faq", make_change("xby", second), LIMITS)
    stored = versions.open(made)
    assert (made.number, deleted, "".join(stored.ids)) == (3, 0, "abcdxy")
    expected = np.stack([first[0], second[1], first[2], first[3], second[0], second[2]])
    np.testing.assert_array_equal(stored.vectors, expected)
    removed = Change(make_pin(), SALT, removed=frozenset("az"))
    made, deleted = commit(versions, "faq", removed, LIMITS)
    assert (deleted, "".join(versions.open(made).ids)) == (1, "bcdxy")
    np.testing.assert_array_equal(versions.open(made).vectors, expected[1:])


def test_what_changes_nothing_makes_no_version(versions: Versions, create: Create) -> None:
    create()
    vectors = real_like(3, 4, 1)
    made, _ = commit(versions, "faq", make_change("abc", vectors), LIMITS)
    assert commit(versions, "faq", make_change("b", vectors[1:2]), LIMITS) == (made, 0)
    assert commit(versions, "faq", Change(make_pin(), SALT, removed=frozenset("z")), LIMITS) == (made, 0)
    assert commit(versions, "faq", make_change("abc", vectors, replace=True), LIMITS) == (made, 0)


def test_a_replacing_change_removes_what_it_does_not_name(versions: Versions, create: Create) -> None:
    create()
    commit(versions, "faq", make_change("abc", real_like(3, 4, 1)), LIMITS)
    made, deleted = commit(versions, "faq", make_change("cx", real_like(2, 4, 2), replace=True), LIMITS)
    assert ("".join(versions.open(made).ids), deleted) == ("cx", 2)


def test_writers_at_the_same_time_lose_nothing(versions: Versions, create: Create) -> None:
    """Each with a look at the store of its own, as processes have."""
    create()
    vectors = real_like(15, 4, 1)

    def write(number: int) -> int:
        own = Versions(ArtifactStore(versions.store.root), kept=3)
        return commit(own, "faq", make_change([f"e{number}"], vectors[number : number + 1]), LIMITS)[0].number

    with ThreadPoolExecutor(3) as pool:
        numbers = list(pool.map(write, range(15)))
    assert sorted(numbers) == list(range(2, 17))
    current = versions.current("faq")
    assert (current.number, current.entries) == (16, 15)
    stored = versions.open(current)
    for row, identifier in enumerate(stored.ids):
        np.testing.assert_array_equal(stored.vectors[row], vectors[int(identifier[1:])])
    assert len(versions.store.list("catalogues")) == 3


def test_a_write_that_fails_leaves_the_version_before(
    versions: Versions, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    create()
    before, _ = commit(versions, "faq", make_change("abc", real_like(3, 4, 1)), LIMITS)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    more = make_change("d", real_like(1, 4, 2))
    with monkeypatch.context() as patched:
        patched.setattr(changing, "write_matrix", full)
        with pytest.raises(OSError, match="No space"):
            commit(versions, "faq", more, LIMITS)
    assert versions.current("faq") == before
    assert not [p for p in (versions.store.root / "catalogues").iterdir() if p.name.startswith(".")]
    assert commit(versions, "faq", make_change("d", real_like(1, 4, 2)), LIMITS)[0].entries == 4


def test_a_change_for_another_bundle_is_refused_unless_it_replaces(versions: Versions, create: Create) -> None:
    create()
    commit(versions, "faq", make_change("abc", real_like(3, 4, 1)), LIMITS)
    with pytest.raises(FailedPrecondition) as caught:
        commit(versions, "faq", make_change("d", real_like(1, 4, 2), bundle="e"), LIMITS)
    assert caught.value.reason == "SKEW"
    made, _ = commit(versions, "faq", make_change("d", real_like(1, 4, 2), bundle="e", replace=True), LIMITS)
    assert (made.pin.version.bundle_digest, made.entries) == ("e" * 64, 1)


@pytest.mark.parametrize("entries", ["", "abc"])
def test_a_replacing_change_may_bring_vectors_of_another_length(
    versions: Versions, create: Create, entries: str
) -> None:
    create()
    if entries:
        commit(versions, "faq", make_change(entries, real_like(3, 4, 1)), LIMITS)
    vectors = real_like(1, 6, 2)
    made, deleted = commit(versions, "faq", make_change("d", vectors, bundle="e", replace=True), LIMITS)
    assert (made.pin.dimensions, deleted) == (6, len(entries))
    np.testing.assert_array_equal(versions.open(made).vectors, vectors)


def test_a_catalogue_has_a_largest_size(versions: Versions, create: Create) -> None:
    create()
    with pytest.raises(FailedPrecondition, match="at most 2") as caught:
        commit(versions, "faq", make_change("abc", real_like(3, 4, 1)), SizeLimits(2, 2))
    assert caught.value.reason == "CATALOGUE_TOO_LARGE"


def test_a_large_one_gets_an_index_which_goes_on_through_changes(versions: Versions, create: Create) -> None:
    create(dimensions=16)
    limits, vectors = SizeLimits(10_000, 500), real_like(1200, 16, 1)
    ids = [f"e{number}" for number in range(1200)]
    made, _ = commit(versions, "faq", make_change(ids, vectors), limits)
    assert made.index
    changed, _ = commit(versions, "faq", make_change(["e3", "new"], real_like(2, 16, 2)), limits)
    assert changed.index
    assert (changed.index.trained_on, changed.entries) == (1200, 1201)
    loaded = load(versions, changed)
    (found,) = loaded.search(real_like(2, 16, 2)[1:], 1, -np.inf)
    assert [loaded.ids[row] for row in found[0]] == ["new"]
    (found,) = loaded.search(vectors[7:8], 1, -np.inf)
    assert [loaded.ids[row] for row in found[0]] == ["e7"]
    small, deleted = commit(versions, "faq", Change(make_pin(16), SALT, removed=frozenset(ids[100:])), limits)
    assert (small.index, small.entries, deleted) == (None, 101, 1100)


def test_versions_are_found_whoever_made_them(versions: Versions, create: Create) -> None:
    with pytest.raises(NotFound):
        versions.current("faq")
    create()
    other = Versions(ArtifactStore(versions.store.root), kept=3)
    assert other.current("faq").number == 1
    for number in range(8):
        commit(versions, "faq", make_change([f"e{number}"], real_like(1, 4, number)), LIMITS)
    assert other.current("faq") == versions.current("faq")
    assert [version.number for version in other.all("faq")] == [9, 8, 7]
    other.delete("faq")
    with pytest.raises(NotFound):
        versions.current("faq")
    assert create().number == 1
    assert other.current("faq").number == 1
    assert versions.names() == ["faq"]


def test_a_catalogue_that_is_deleted_meanwhile_does_not_come_back(versions: Versions, create: Create) -> None:
    create()
    change = make_change("a", real_like(1, 4, 1))
    versions.delete("faq")
    with pytest.raises(NotFound):
        commit(versions, "faq", change, LIMITS)
    assert versions.names() == []


@pytest.fixture
def during(versions: Versions, monkeypatch: pytest.MonkeyPatch) -> During:
    """Has something happen elsewhere once, after the next version is stored or right before it is named."""

    def patch(step: str, happens: Callable[[Versions], object]) -> None:
        do = getattr(versions.store, step)
        other = Versions(ArtifactStore(versions.store.root), kept=3)

        def patched(*given: Any) -> Any:
            monkeypatch.setattr(versions.store, step, do)
            if step == "tag":
                happens(other)
            done = do(*given)
            if step == "put":
                happens(other)
                monkeypatch.setattr(versions.store, "tag", lambda *_: pytest.fail("nobody is to see it"))
            return done

        monkeypatch.setattr(versions.store, step, patched)

    return patch


@pytest.mark.parametrize("step", ["put", "tag"])
def test_a_catalogue_that_is_deleted_while_it_is_written_does_not_come_back(
    versions: Versions, create: Create, during: During, step: str
) -> None:
    create()
    commit(versions, "faq", make_change("abc", real_like(3, 4, 1)), LIMITS)
    during(step, lambda other: other.delete("faq"))
    with pytest.raises(NotFound):
        commit(versions, "faq", make_change("d", real_like(1, 4, 2)), LIMITS)
    assert versions.names() == []
    assert versions.store.list("catalogues") == []


@pytest.mark.parametrize("step", ["put", "tag"])
def test_a_catalogue_that_is_made_anew_while_the_old_one_is_written_is_left_alone(
    versions: Versions, create: Create, during: During, step: str
) -> None:
    create()
    commit(versions, "faq", make_change("abc", real_like(3, 4, 1)), LIMITS)

    def anew(other: Versions) -> None:
        other.delete("faq")
        create(salt=b"t" * 32, versions=other)
        commit(other, "faq", replace(make_change("x", real_like(1, 4, 3)), salt=b"t" * 32), LIMITS)

    during(step, anew)
    with pytest.raises(NotFound, match="made anew"):
        commit(versions, "faq", make_change("d", real_like(1, 4, 2)), LIMITS)
    for reader in (versions, Versions(ArtifactStore(versions.store.root), kept=3)):
        assert reader.open(reader.current("faq")).ids == ["x"]
        assert [version.number for version in reader.all("faq")] == [2, 1]


def test_deleting_takes_along_what_is_named_meanwhile(
    versions: Versions, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    create()
    remove, other = versions.store.delete, Versions(ArtifactStore(versions.store.root), kept=3)

    def late(*given: Any) -> None:
        monkeypatch.setattr(versions.store, "delete", remove)
        commit(other, "faq", make_change("a", real_like(1, 4, 1)), LIMITS)
        remove(*given)

    monkeypatch.setattr(versions.store, "delete", late)
    versions.delete("faq")
    assert other.names() == []


def test_a_version_stands_though_later_ones_have_removed_that_which_it_was_made_of(
    versions: Versions, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    create()
    tag, other = versions.store.tag, Versions(ArtifactStore(versions.store.root), kept=1)

    def overtaken(*given: Any) -> None:
        monkeypatch.setattr(versions.store, "tag", tag)
        tag(*given)
        commit(other, "faq", make_change("b", real_like(1, 4, 2)), LIMITS)
        commit(other, "faq", make_change("c", real_like(1, 4, 3)), LIMITS)

    monkeypatch.setattr(versions.store, "tag", overtaken)
    made, _ = commit(versions, "faq", make_change("a", real_like(1, 4, 1)), LIMITS)
    assert (made.number, made.entries) == (2, 1)
    assert other.open(other.current("faq")).ids == ["a", "b", "c"]
    assert other.current("faq").number == 4


@pytest.mark.parametrize("file", ["vectors.safetensors", "ids.json", "digests.safetensors"])
def test_a_damaged_file_is_refused(versions: Versions, create: Create, file: str) -> None:
    create()
    made, _ = commit(versions, "faq", make_change("abc", real_like(3, 4, 1)), LIMITS)
    path = versions.store.root / "catalogues" / made.digest / file
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(IntegrityError):
        Versions(ArtifactStore(versions.store.root), kept=3).open(made)
