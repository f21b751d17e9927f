"""Aliases go back one step and not two; a release runs alone, is changed while it runs, and ends once."""

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import insert

from symbiont.bundle import BundleManifest, ClassificationHead, Golden, Lineage, NoMethod, write_bundle
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import FailedPrecondition, InvalidArgument, NotFound
from symbiont.training import types
from symbiont.training.models import Models
from symbiont.training.notifier import Notifier
from symbiont.training.releases import ReleaseName, Releases, parse_alias_name, parse_release_name
from symbiont.training.store import Store, tables
from symbiont.training.types import NewRelease, ReleaseRules, ReleaseState

ALIAS = ReleaseName("mood", "production")
RULES = ReleaseRules(max_error_rate_increase=0.1, min_samples=50)
EVALUATION = types.Evaluation(1, 1.0, 1.0, 1.0, ("no", "yes"), ((1, 0), (0, 0)))


def make_bundle(artifacts: ArtifactStore, seed: int) -> str:
    manifest = BundleManifest(
        base_digest="a" * 64,
        tokenizer_digest="b" * 64,
        max_tokens=16,
        labels=("no", "yes"),
        method=NoMethod(),
        head=ClassificationHead(pooling="mean", hidden_size=2, num_labels=2),
        lineage=Lineage(job="", training_dataset="", evaluation_dataset="", seed=seed, code_version="0"),
        golden=Golden(input_ids=((1,),), logits=((0.0, 0.0),)),
    )
    head = {"weight": np.full((2, 2), seed, dtype=np.float32), "bias": np.zeros(2, dtype=np.float32)}
    return write_bundle(artifacts, manifest, {}, head)


@pytest.fixture
def versions(store: Store, artifacts: ArtifactStore) -> Store:
    """A store whose model mood has three versions; `production` points at the first."""
    with store._write() as db:
        for model in ("mood", "other"):
            db.execute(insert(tables.models).values(id=model, create_time=types.now()))
        for number in (1, 2, 3):
            body: dict[str, Any] = {"bundle_digest": make_bundle(artifacts, number), "base_digest": "a" * 64}
            body |= {"tokenizer_digest": "b" * 64, "base_model": "tiny", "job": "j", "create_time": types.now()}
            evaluation = types.plain(vars(EVALUATION))
            db.execute(insert(tables.versions).values(model="mood", number=number, evaluation=evaluation, **body))
    store.set_alias("mood", "production", 1)
    return store


@pytest.fixture
def releases(versions: Store, artifacts: ArtifactStore) -> Releases:
    return Releases(versions, artifacts, Notifier())


def trying(number: int = 2, weight: int = 10, shadow: bool = False, rules: ReleaseRules = RULES) -> NewRelease:
    return NewRelease(("mood", number), weight, shadow, rules)


def named(release: types.Release) -> ReleaseName:
    return parse_release_name("name", release.name)


def test_a_rollback_takes_one_step_however_often_it_is_asked(versions: Store) -> None:
    versions.set_alias("mood", "production", 2)
    with ThreadPoolExecutor(8) as pool:
        asked = list(pool.map(lambda _: versions.rollback_alias("mood", "production", 2), range(16)))
    assert {(alias.version.number, alias.previous) for alias in asked} == {(1, 2)}
    # The step forward is a step that names where it starts.
    assert versions.rollback_alias("mood", "production", 1).version.number == 2
    versions.set_alias("mood", "production", 3)
    with pytest.raises(FailedPrecondition, match="points at version 3 by now"):
        versions.rollback_alias("mood", "production", 1)
    assert versions.rollback_alias("mood", "production", 3).version.number == 2


def test_without_a_version_before_there_is_no_way_back(versions: Store) -> None:
    # Pointing it where it points leaves no version before either.
    versions.set_alias("mood", "production", 1)
    with pytest.raises(FailedPrecondition) as caught:
        versions.rollback_alias("mood", "production", 1)
    assert caught.value.reason == "NO_PREVIOUS_VERSION"
    with pytest.raises(NotFound, match="aliases/staging"):
        versions.rollback_alias("mood", "staging", 1)


async def test_a_rollback_to_a_damaged_bundle_is_refused(versions: Store, artifacts: ArtifactStore) -> None:
    versions.set_alias("mood", "production", 2)
    folder = artifacts.path("bundles", versions.version("mood", 1).bundle_digest)
    (folder / "manifest.json").write_bytes(b"{}")
    models = Models(versions, artifacts, Notifier(), asyncio.Event())
    with pytest.raises(FailedPrecondition, match="cannot serve"):
        await models.rollback("mood", "production", 2)
    assert versions.alias("mood", "production").version.number == 2


async def test_a_release_is_told_with_its_alias_and_ends_once(releases: Releases, versions: Store) -> None:
    (before,) = versions.aliases_after(0)
    release = await releases.create(ALIAS, trying())
    assert (release.state, release.baseline, release.candidate.number) == (ReleaseState.ACTIVE, 1, 2)
    (told,) = versions.aliases_after(before.revision)
    assert told.release == release
    changed = await releases.update(named(release), 40, None)
    assert (changed.weight, changed.shadow, changed.rules) == (40, False, RULES)
    ended = await releases.end(named(release), "labels moved", rule_broken=True)
    assert (ended.state, ended.end_reason) == (ReleaseState.ROLLED_BACK, "labels moved")
    (after,) = versions.aliases_after(told.revision)
    assert (after.release, after.version.number) == (None, 1)
    # The first end counts, and is no change that watchers hear of.
    assert await releases.end(named(release), "again", rule_broken=False) == ended
    assert versions.aliases_after(after.revision) == []
    with pytest.raises(FailedPrecondition, match="has ended: ROLLED_BACK"):
        await releases.promote(named(release))
    with pytest.raises(FailedPrecondition, match="has ended: ROLLED_BACK"):
        await releases.update(named(release), 1, None)


async def test_an_alias_has_one_release_at_a_time(releases: Releases, versions: Store) -> None:
    async def begin() -> types.Release | FailedPrecondition:
        try:
            return await releases.create(ALIAS, trying())
        except FailedPrecondition as exc:
            return exc

    made = await asyncio.gather(*(begin() for _ in range(8)))
    assert len([m for m in made if isinstance(m, types.Release)]) == 1
    assert [release.weight for _, release in versions.releases("mood", "production")] == [10]


async def test_promoting_a_release_moves_the_alias_and_leaves_a_way_back(releases: Releases, versions: Store) -> None:
    release = await releases.create(ALIAS, trying())
    promoted = await releases.promote(named(release))
    assert promoted.state is ReleaseState.PROMOTED
    alias = versions.alias("mood", "production")
    assert (alias.version.number, alias.previous, alias.release) == (2, 1, None)
    assert await releases.promote(named(release)) == promoted
    assert versions.alias("mood", "production").previous == 1


@pytest.mark.parametrize(("number", "state"), [(2, ReleaseState.PROMOTED), (3, ReleaseState.ENDED)])
async def test_moving_the_alias_ends_its_release(
    releases: Releases, versions: Store, number: int, state: ReleaseState
) -> None:
    release = await releases.create(ALIAS, trying())
    versions.set_alias("mood", "production", number)
    ended = versions.release("mood", "production", release.id)
    assert ended.state is state
    assert ended.end_time


async def test_releases_are_listed_newest_first(releases: Releases, versions: Store) -> None:
    versions.set_alias("mood", "staging", 3)
    made = []
    for alias in ("production", "staging", "production"):
        release = await releases.create(ReleaseName("mood", alias), trying())
        made.append((await releases.end(named(release), "", rule_broken=False)).id)
    assert [release.id for _, release in versions.releases("mood", "")] == made[::-1]
    assert [release.id for _, release in versions.releases("mood", "production")] == [made[2], made[0]]
    with pytest.raises(NotFound, match="models/nobody"):
        versions.releases("nobody", "")


@pytest.mark.parametrize(
    ("new", "field"),
    [
        (trying(weight=101), "release.weight"),
        (trying(weight=-1), "release.weight"),
        (trying(rules=ReleaseRules(max_error_rate_increase=1.5)), "release.rules.max_error_rate_increase"),
        (trying(rules=ReleaseRules(max_label_shift=float("nan"))), "release.rules.max_label_shift"),
        (trying(rules=ReleaseRules(max_p99_latency_ratio=1.0)), "release.rules.max_p99_latency_ratio"),
        (trying(rules=ReleaseRules(max_p99_latency_ratio=float("inf"))), "release.rules.max_p99_latency_ratio"),
        (trying(shadow=True, rules=ReleaseRules(max_p99_latency_ratio=2)), "release.rules.max_p99_latency_ratio"),
        (trying(rules=ReleaseRules(min_samples=9)), "release.rules.min_samples"),
        (NewRelease(("other", 1), 1, False, RULES), "release.candidate"),
    ],
)
async def test_what_is_out_of_range_is_named(releases: Releases, versions: Store, new: NewRelease, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await releases.create(ALIAS, new)
    assert caught.value.field == field
    assert versions.releases("mood", "") == []


async def test_a_shadow_cannot_be_switched_on_beside_a_rule_on_latency(releases: Releases) -> None:
    release = await releases.create(ALIAS, trying(rules=ReleaseRules(max_p99_latency_ratio=2)))
    with pytest.raises(InvalidArgument, match="cannot be told apart"):
        await releases.update(named(release), None, True)


async def test_a_release_needs_an_alias_and_another_version(releases: Releases) -> None:
    with pytest.raises(NotFound, match="parent: models/mood/aliases/staging"):
        await releases.create(ReleaseName("mood", "staging"), trying())
    with pytest.raises(FailedPrecondition, match="points at version 1 already"):
        await releases.create(ALIAS, trying(1))
    with pytest.raises(NotFound, match="versions/9"):
        await releases.create(ALIAS, trying(9))


@pytest.mark.parametrize("name", ["models/mood", "models/mood/aliases/-", "models/M/aliases/x", "models/m/aliases/x/y"])
def test_malformed_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match="name"):
        parse_alias_name("name", name)
    with pytest.raises(InvalidArgument, match="name"):
        parse_release_name("name", name)


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A database as the first release made it: aliases have no version before, and there is no table of releases."""
    path = tmp_path / "older.db"
    with sqlite3.connect(path) as db:
        db.executescript(
            """
            CREATE TABLE models (id VARCHAR(63) NOT NULL, create_time DATETIME NOT NULL, PRIMARY KEY (id));
            CREATE TABLE versions (model VARCHAR(63) NOT NULL, number INTEGER NOT NULL, bundle_digest VARCHAR(64)
              NOT NULL, base_model VARCHAR(63) NOT NULL, base_digest VARCHAR(64) NOT NULL, tokenizer_digest
              VARCHAR(64) NOT NULL, job VARCHAR(63) NOT NULL, evaluation JSON NOT NULL, create_time DATETIME NOT NULL,
              PRIMARY KEY (model, number), FOREIGN KEY(model) REFERENCES models (id));
            CREATE TABLE aliases (model VARCHAR(63) NOT NULL, alias VARCHAR(63) NOT NULL, number INTEGER NOT NULL,
              revision INTEGER NOT NULL, update_time DATETIME NOT NULL, PRIMARY KEY (model, alias),
              FOREIGN KEY(model) REFERENCES models (id));
            INSERT INTO models VALUES ('mood', '2026-01-01 00:00:00.000000');
            INSERT INTO aliases VALUES ('mood', 'production', 2, 7, '2026-01-01 00:00:00.000000');
            """
        )
        for number in (1, 2):
            row = ("mood", number, str(number) * 64, "tiny", "a" * 64, "b" * 64, "j")
            evaluation = (
                '{"row_count": 0, "accuracy": 0, "macro_f1": 0, "loss": 0, "labels": [], "confusion_matrix": []}'
            )
            time = "2026-01-01 00:00:00.000000"
            db.execute("INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*row, evaluation, time))
    db.close()
    return path


def test_a_database_of_an_older_release_opens_and_goes_on(older: Path) -> None:
    for opening in range(2):
        store = Store(f"sqlite:///{older}")
        alias = store.alias("mood", "production")
        assert (alias.version.number, alias.previous) == ((2, 0), (1, 2))[opening]
        if not opening:
            assert alias.revision == 7
            store.set_alias("mood", "production", 1)
        store.close()


def test_a_database_that_lacks_what_cannot_be_made_up_is_refused(older: Path) -> None:
    with sqlite3.connect(older) as db:
        db.execute("ALTER TABLE aliases DROP COLUMN revision")
    db.close()
    with pytest.raises(FailedPrecondition, match=r"it has no aliases\.revision"):
        Store(f"sqlite:///{older}")
