"""A subject is forgotten wherever its rows are, nothing of others is lost, and what breaks off is finished."""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from support.attempts import METHODS, Line
from support.registry import upload_rows
from support.sampling import few
from support.sealed import sealed_store
from support.tracked_jobs import StoredJob
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.encryption import keyring
from symbiont.common.errors import FailedPrecondition, InvalidArgument, TenantShredded, Unavailable
from symbiont.common.principal import Principal, make_current
from symbiont.training import types
from symbiont.training.data.rows import KIND
from symbiont.training.erasure.convert import forgotten_to_proto
from symbiont.training.erasure.erasure import Forgetting
from symbiont.training.erasure.finding import find_rows
from symbiont.training.erasure.types import digest_of
from symbiont.training.gate.gate import DataGate
from symbiont.training.gate.lineage import lineage
from symbiont.training.gate.settings import Prepare, Split
from symbiont.training.store import Store
from symbiont.training.store.erasures import Erasure, latest

from .conftest import CANARY, rows_of, stored_texts, subject_rows

pytestmark = pytest.mark.asyncio


async def erase(forgetting: Forgetting, subject: str = "ann", **how: Any) -> Any:
    return await forgetting.forget(subject, **{"dry_run": False, "retrain": False, **how})


async def derive(gate: DataGate) -> None:
    """Makes datasets/clean of datasets/people, and cuts that in two."""
    cleaned = Prepare.model_validate({"transforms": [{"clean": {}}, {"deduplicate": {}}]})
    async for _ in gate.prepare("datasets/people", "clean", cleaned):
        pass
    async for _ in gate.split("datasets/clean", ("train", "test"), Split()):
        pass


async def test_rows_go_everywhere_and_those_of_others_stay(
    forgetting: Forgetting, gate: DataGate, stocked: Store, artifacts: ArtifactStore
) -> None:
    await derive(gate)
    names = ("people", "clean", "train", "test")
    before = {name: rows_of(stocked, artifacts, name) for name in names}
    digests = {name: stocked.dataset(name).digest for name in names}
    others = {name: stocked.dataset(name) for name in ("rows",)}
    assert CANARY in stored_texts(artifacts)

    planned = await erase(forgetting, dry_run=True)
    assert {name: stocked.dataset(name).digest for name in names} == digests
    done = await erase(forgetting)

    assert done.touched == planned.touched
    assert {rows.names[0] for rows in done.touched.rows} == set(names)
    for rows in done.touched.rows:
        (name,) = rows.names
        assert rows.numbers == tuple(n for n, row in enumerate(before[name]) if row.subject == "ann")
    assert CANARY not in stored_texts(artifacts)
    assert artifacts.list(KIND) == sorted(stocked.dataset(name).digest for name in (*names, *others))
    assert {name: stocked.dataset(name) for name in others} == others
    for name in names:
        kept, dataset = rows_of(stocked, artifacts, name), stocked.dataset(name)
        left = [row for row in before[name] if row.subject != "ann"]
        assert [(r.text, r.label, r.subject) for r in kept] == [(r.text, r.label, r.subject) for r in left]
        assert (dataset.row_count, sum(count for _, count in dataset.label_counts)) == (len(left), len(left))
        assert dataset.digest == done.new_digests[digests[name]]


async def test_what_is_left_is_told_of_as_before(
    forgetting: Forgetting, stocked: Store, artifacts: ArtifactStore, tmp_path: Path
) -> None:
    # By programs, as where there is nothing to fork from.
    gate = DataGate(stocked, artifacts, tmp_path / "programs")
    await derive(gate)
    steps = lineage(artifacts, stocked.dataset("clean").digest).steps
    await erase(forgetting)
    clean, train = (lineage(artifacts, stocked.dataset(name).digest) for name in ("clean", "train"))
    assert [parent.digest for parent in clean.parents] == [stocked.dataset("people").digest]
    assert [parent.digest for parent in train.parents] == [stocked.dataset("clean").digest]
    assert [step.kind for step in clean.steps] == ["clean", "deduplicate", "erasure"]
    assert [step.settings for step in clean.steps[:2]] == [step.settings for step in steps]
    assert clean.steps[2].settings == {"subject_digest": digest_of("ann")}
    # Every row is found again in what it was made of.
    for child, parent in (("clean", "people"), ("train", "clean")):
        sources = rows_of(stocked, artifacts, parent)
        for row in rows_of(stocked, artifacts, child):
            assert sources[row.origin].text == row.text
    # The same is not made again.
    cleaned = Prepare.model_validate({"transforms": [{"clean": {}}, {"deduplicate": {}}]})
    (again,) = [made async for made in gate.prepare("datasets/people", "clean", cleaned)]
    assert again == stocked.dataset("clean")


async def test_what_was_split_is_not_split_again(
    forgetting: Forgetting, gate: DataGate, stocked: Store, artifacts: ArtifactStore
) -> None:
    """Also the part that had no row of the subject, and is as it was."""
    rows = [{**row, "who": "eve" if not number else "cy"} for number, row in enumerate(subject_rows(20))]
    stocked.add_dataset(upload_rows(artifacts, rows, "all", subject_column="who"))

    async def split() -> tuple[types.Dataset, types.Dataset]:
        return [made async for made in gate.split("datasets/all", ("train", "test"), Split())][-1]  # type: ignore[return-value]

    before = await split()
    await erase(forgetting, "eve")
    parts = stocked.dataset("train"), stocked.dataset("test")
    assert sorted(was == now for was, now in zip(before, parts, strict=True)) == [False, True]
    assert await split() == parts


async def test_a_second_call_finds_nothing(forgetting: Forgetting, stocked: Store, artifacts: ArtifactStore) -> None:
    await erase(forgetting)
    before = stocked.dataset("people")
    again = await erase(forgetting)
    assert again.touched.rows == again.touched.versions == again.touched.jobs == ()
    assert stocked.dataset("people") == before
    assert len(stocked.erasures()) == 1
    assert (await erase(forgetting, "nobody")).touched.rows == ()


async def test_a_dataset_of_nobody_else_is_deleted(
    forgetting: Forgetting, stocked: Store, artifacts: ArtifactStore
) -> None:
    rows = [row for row in subject_rows() if row["who"] == "ann"]
    stocked.add_dataset(upload_rows(artifacts, rows, "all-hers", subject_column="who"))
    done = await erase(forgetting)
    assert "all-hers" not in {dataset.id for dataset in stocked.datasets()}
    assert sorted(bool(digest) for digest in done.new_digests.values()) == [False, True]


async def test_two_datasets_of_one_content_both_go_on(
    forgetting: Forgetting, stocked: Store, artifacts: ArtifactStore
) -> None:
    stocked.add_dataset(replace(stocked.dataset("people"), id="twin", text_column="other"))
    await erase(forgetting)
    one, other = stocked.dataset("people"), stocked.dataset("twin")
    assert one.digest == other.digest
    assert (other.id, other.text_column, other.row_count) == ("twin", "other", one.row_count)


async def test_a_job_that_has_not_ended_is_named_and_nothing_changes(
    forgetting: Forgetting, stocked: Store, artifacts: ArtifactStore
) -> None:
    line = Line(stocked, artifacts)
    spec, inputs = line.resolved(dataset="datasets/people")
    job = StoredJob(stocked, inputs, spec=spec)
    before = stocked.dataset("people")
    with pytest.raises(FailedPrecondition, match=f"jobs/{job.id} works on rows of the subject") as caught:
        await erase(forgetting)
    assert "ann" not in str(caught.value)
    assert stocked.dataset("people") == before
    assert CANARY in stored_texts(artifacts)
    stocked.cancel(job.id, "a test", keep=False)
    assert (await erase(forgetting)).touched.jobs == (job.id,)


@pytest.mark.parametrize("method", few(["lora", "full"], "full"))
async def test_versions_are_marked_and_their_checkpoints_go(
    forgetting: Forgetting, stocked: Store, artifacts: ArtifactStore, method: str
) -> None:
    line = Line(stocked, artifacts)
    other = line.train()
    first = line.train(rows="people", **METHODS[method])
    second = line.train(start_from=first.name)
    stocked.set_alias("mood", "production", first.number)
    done = await erase(forgetting)
    found = {learnt.version.number: learnt for learnt in done.touched.versions}
    # The one that started from it has learnt the rows, too.
    assert set(found) == {first.number, second.number}
    assert found[first.number].aliases == ("production",)
    assert bool(found[first.number].own_base) == (method == "full")
    marked = {version.number for version in stocked.versions("mood") if version.trained_on_erased}
    assert marked == {first.number, second.number}
    assert stocked.alias("mood", "production").version.trained_on_erased
    assert artifacts.exists("bundles", first.bundle_digest)
    for version, stays in ((first, False), (second, False), (other, True)):
        kept = stocked.checkpoints(version.job)
        assert bool(kept) == bool(stocked.job(version.job).checkpoint_digest) == stays
        assert all(artifacts.exists("checkpoints", checkpoint.digest) for checkpoint in kept)
    assert len(artifacts.list("checkpoints")) == len(stocked.checkpoints(other.job))
    with pytest.raises(FailedPrecondition, match="has learnt rows that were erased since"):
        line.train(start_from=first.name)


async def test_what_lives_on_a_base_that_learnt_them_has_learnt_them(
    forgetting: Forgetting, stocked: Store, artifacts: ArtifactStore
) -> None:
    line = Line(stocked, artifacts)
    other = line.train()
    law = line.adapt("law", rows="people")
    court = line.adapt("court", base_model="bases/law")
    full = line.train(base_model="bases/court", full={})
    on = line.train(base_model="bases/court", start_from=full.name)
    planned, done = await erase(forgetting, dry_run=True), await erase(forgetting, retrain=True)
    assert planned.touched == done.touched
    assert [base.id for base in done.touched.bases] == ["court", "law"]
    assert {learnt.version.number for learnt in done.touched.versions} == {full.number, on.number}
    assert [base.id for base in stocked.bases() if base.trained_on_erased] == ["court", "law"]
    assert not stocked.version("mood", other.number).trained_on_erased
    assert len(artifacts.list("checkpoints")) == len(stocked.checkpoints(other.job))
    assert all(artifacts.exists("bases", base.digest) for base in (law, court))
    another = {"derived_base": "bases/another", "model": None}
    for wanted in ({"base_model": "bases/law"}, {"base_model": "bases/court", **another}):
        with pytest.raises(FailedPrecondition, match=r"has learnt rows that were erased since: adapt bases/") as caught:
            line.resolved(dataset="datasets/rows", **wanted)
        assert caught.value.field == "training_job.spec.base_model"
    # The newest of its model starts from another.
    assert [name for name, _ in done.not_retrained] == [on.name]


async def test_a_checkpoint_that_is_saved_while_rows_are_looked_for_goes_too(
    make_forgetting: Callable[[ArtifactStore], Forgetting], stocked: Store, artifacts: ArtifactStore
) -> None:
    line = Line(stocked, artifacts)
    trained: list[types.ModelVersion] = []

    class Slow(ArtifactStore):
        """A store in which a training ends while what is left of the rows is written."""

        def put(self, *args: Any) -> str:
            trained.append(line.train(rows="people"))
            return super().put(*args)

    done = await erase(make_forgetting(Slow(artifacts.root)))
    (version,) = trained
    assert [learnt.version.number for learnt in done.touched.versions] == [version.number]
    assert done.touched.checkpoints
    assert artifacts.list("checkpoints") == []


async def test_who_erases_does_not_approve_what_is_trained_again(
    forgetting: Forgetting, stocked: Store, artifacts: ArtifactStore
) -> None:
    Line(stocked, artifacts).train(rows="people")
    make_current(Principal("ana"))
    done = await erase(forgetting, retrain=True)
    (queued,) = done.retraining
    assert stocked.job(queued).principal == "ana"


async def test_a_version_that_was_judged_by_the_rows_has_not_learnt_them(
    forgetting: Forgetting, stocked: Store, artifacts: ArtifactStore
) -> None:
    version = Line(stocked, artifacts).train(evaluation_dataset="datasets/people")
    done = await erase(forgetting)
    assert done.touched.jobs == (version.job,)
    assert done.touched.versions == ()
    assert not stocked.version("mood", version.number).trained_on_erased


async def test_what_was_learnt_before_another_erasure_is_found(
    forgetting: Forgetting, stocked: Store, artifacts: ArtifactStore
) -> None:
    version = Line(stocked, artifacts).train(rows="people")
    await erase(forgetting, "bob")
    done = await erase(forgetting, "ann")
    assert [learnt.version.number for learnt in done.touched.versions] == [version.number]
    old = stocked.job(version.job).inputs.dataset_digest
    assert latest(old, stocked.erasures()) == stocked.dataset("people").digest


async def test_versions_that_matter_are_trained_again_once(
    forgetting: Forgetting, stocked: Store, artifacts: ArtifactStore
) -> None:
    line = Line(stocked, artifacts)
    old, serving = line.train(rows="people"), line.train(rows="people", head_only={})
    newest = line.train(start_from=serving.name)
    stocked.set_alias("mood", "production", serving.number)
    done = await erase(forgetting, retrain=True)
    (queued,) = done.retraining
    job = stocked.job(queued)
    assert job.spec == stocked.job(serving.job).spec
    assert job.inputs.dataset_digest == stocked.dataset("people").digest
    ((name, reason),) = done.not_retrained
    assert name == newest.name
    assert f"it starts from {serving.name}" in reason
    assert old.number < serving.number
    again = await erase(forgetting, retrain=True)
    assert again.retraining == done.retraining
    assert again.touched.rows == ()


async def test_a_dataset_that_was_made_anew_is_not_trained_on_unasked(
    forgetting: Forgetting, stocked: Store, artifacts: ArtifactStore
) -> None:
    Line(stocked, artifacts).train(rows="people")
    await erase(forgetting)
    stocked.delete_dataset("people")
    stocked.add_dataset(upload_rows(artifacts, subject_rows(30)[5:], "people", subject_column="who"))
    done = await erase(forgetting, "ann", retrain=True)
    # The rows that came since are erased, too; what they stand for now is another matter.
    assert done.retraining == ()
    assert any("has other rows by now" in reason for _, reason in done.not_retrained)


class Breaking(ArtifactStore):
    """A store that breaks at one of its steps."""

    def __init__(self, root: Any, step: str, after: int) -> None:
        super().__init__(root)
        self.step, self.left = step, after

    def _count(self, step: str) -> None:
        if step == self.step:
            self.left -= 1
            if self.left < 0:
                raise OSError("the disk is gone")

    def put(self, *args: Any) -> str:
        self._count("put")
        return super().put(*args)

    def delete(self, *args: Any) -> None:
        self._count("delete")
        super().delete(*args)


@pytest.mark.parametrize(("after", "step"), few(product([0, 1, 2, 3], ["put", "delete"]), (1, "put"), (2, "delete")))
async def test_what_broke_off_is_finished(
    make_forgetting: Callable[[ArtifactStore], Forgetting],
    gate: DataGate,
    stocked: Store,
    artifacts: ArtifactStore,
    step: str,
    after: int,
) -> None:
    await derive(gate)
    line = Line(stocked, artifacts)
    version = line.train(rows="train")
    names = ("people", "clean", "train", "test", "rows")
    others = {name: [r.text for r in rows_of(stocked, artifacts, name) if r.subject != "ann"] for name in names}
    with pytest.raises(OSError, match="the disk is gone"):
        await erase(make_forgetting(Breaking(artifacts.root, step, after)))
    # Nothing is lost in between: every dataset can be read.
    for name in names:
        assert [r.text for r in rows_of(stocked, artifacts, name) if r.subject != "ann"] == others[name]
    forgetting = make_forgetting(ArtifactStore(artifacts.root))
    await erase(forgetting)
    assert CANARY not in stored_texts(artifacts)
    for name in names:
        assert [r.text for r in rows_of(stocked, artifacts, name)] == others[name]
    assert artifacts.list(KIND) == sorted({stocked.dataset(name).digest for name in names})
    assert artifacts.list("checkpoints") == []
    assert stocked.version("mood", version.number).trained_on_erased
    assert not any(erasure.pending for erasure in stocked.erasures())


async def test_the_service_finishes_when_it_starts(
    make_forgetting: Callable[[ArtifactStore], Forgetting], stocked: Store, artifacts: ArtifactStore
) -> None:
    with pytest.raises(OSError, match="the disk is gone"):
        await erase(make_forgetting(Breaking(artifacts.root, "delete", 0)))
    assert CANARY in stored_texts(artifacts)
    make_forgetting(ArtifactStore(artifacts.root)).resume()
    assert CANARY not in stored_texts(artifacts)


class Slow(ArtifactStore):
    """A store where what is deleted stays for once."""

    def __init__(self, root: Any) -> None:
        super().__init__(root)
        self.stays = True

    def delete(self, *args: Any) -> None:
        if self.stays:
            self.stays = False
            return
        super().delete(*args)


@pytest.mark.parametrize("again", ["the same call", "another call", "the same call, after the service began again"])
async def test_a_call_made_again_answers_what_the_first_one_found(
    make_forgetting: Callable[[ArtifactStore], Forgetting],
    gate: DataGate,
    stocked: Store,
    artifacts: ArtifactStore,
    again: str,
) -> None:
    await derive(gate)
    Line(stocked, artifacts).train(rows="train")
    forgetting = make_forgetting(Slow(artifacts.root))
    planned = await erase(forgetting, dry_run=True)
    assert planned.touched.checkpoints
    with pytest.raises(Unavailable, match="call again"):
        await erase(forgetting, request_id="r1")
    if again.endswith("began again"):
        forgetting.resume()
    done = await erase(forgetting, request_id="r2" if again == "another call" else "r1")
    assert forgotten_to_proto(replace(done, new_digests={})) == forgotten_to_proto(planned)
    assert done.new_digests == {
        rows.digest: stocked.dataset(name).digest for rows in planned.touched.rows for name in rows.names
    }
    assert not any(erasure.pending for erasure in stocked.erasures())
    # Whoever asks anew asks what there is.
    assert not (await erase(forgetting, request_id="r3")).touched.rows
    assert await erase(forgetting, request_id="r1") == done


async def test_what_another_erased_is_not_told(
    make_forgetting: Callable[[ArtifactStore], Forgetting], stocked: Store, artifacts: ArtifactStore
) -> None:
    forgetting = make_forgetting(Slow(artifacts.root))
    with pytest.raises(Unavailable):
        await erase(forgetting, request_id="r1")

    async def as_acme() -> Any:
        make_current(Principal("ana", tenant="acme"))
        return await erase(forgetting, request_id="r1")

    assert not (await asyncio.create_task(as_acme())).touched.rows
    assert len((await erase(forgetting, request_id="r1")).touched.rows) == 1


async def test_a_request_id_is_bounded(forgetting: Forgetting) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await erase(forgetting, request_id="x" * 200)
    assert caught.value.field == "request_id"


async def test_the_name_is_neither_kept_nor_said(
    forgetting: Forgetting, stocked: Store, artifacts: ArtifactStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{**row, "who": "Ann-Q-4711"} if row["who"] == "ann" else row for row in subject_rows()]
    stocked.add_dataset(upload_rows(artifacts, rows, "named", subject_column="who"))
    version = Line(stocked, artifacts).train(rows="named")
    done = await erase(forgetting, "Ann-Q-4711")
    assert [learnt.version.number for learnt in done.touched.versions] == [version.number]
    with sqlite3.connect(tmp_path / "symbiont.db") as db:
        kept = "\n".join(db.iterdump())
    db.close()
    assert digest_of("Ann-Q-4711") in kept
    said = "".join(capsys.readouterr())
    for text in (kept, said, stored_texts(artifacts), json.dumps(types.plain(done.subject_digest))):
        assert "Ann-Q-4711" not in text


@pytest.mark.parametrize("subject", ["", "x" * 5000])
async def test_no_subject_is_refused(forgetting: Forgetting, subject: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await erase(forgetting, subject)
    assert caught.value.field == "subject"


async def test_rows_of_a_shredded_tenant_are_passed_over(
    stocked: Store, artifacts: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "BELIEVED_S", 0.0)
    everybody, acme = (sealed_store(artifacts.root, tmp_path / "key", tenant) for tenant in ("", "acme"))
    stocked.add_dataset(upload_rows(acme, subject_rows(), "acme~people", subject_column="who"))
    assert len(find_rows(stocked, everybody, "ann")) == 2
    everybody.seals.keyring.shred("acme")
    (found,) = find_rows(stocked, everybody, "ann")
    assert found.names == ("people",)


async def test_versions_of_a_shredded_tenant_are_not_trained_again(
    forgetting: Forgetting, stocked: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shredded(model: str, number: int) -> types.ModelVersion:
        raise TenantShredded(f"the keys of models/{model} were destroyed")

    monkeypatch.setattr(stocked, "version", shredded)
    monkeypatch.setattr(stocked, "model", lambda model: types.Model(model, 1, (), types.now()))
    assert forgetting._worth_it(Erasure(1, "s" * 64, {}, (("acme~mood", 1),), ())) == []
