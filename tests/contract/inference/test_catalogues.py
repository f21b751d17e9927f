"""CatalogueService, and queries that name a catalogue: real services, and vectors that depend on the ids alone."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from typer.testing import CliRunner

from symbiont.api.inference.v1 import catalogue_pb2 as pb
from symbiont.api.inference.v1 import inference_pb2
from symbiont.api.inference.v1.catalogue_pb2_grpc import CatalogueServiceStub
from symbiont.api.inference.v1.inference_pb2_grpc import InferenceServiceStub
from symbiont.api.training.v1 import model_pb2
from symbiont.bundle import EmbeddingHead
from symbiont.bundle.manifest import BundleManifest, Golden, Lineage, NoMethod
from symbiont.bundle.store import write_bundle
from symbiont.cli.app import app
from symbiont.client import AsyncClient, Client, Endpoints, InvalidArgumentError, NotFoundError
from symbiont.common.errors import SymbiontError, Unavailable
from symbiont.engine.row import HostAnswer, Row, Times

SIZE = 8
BASE = "b" * 64
WORDS = ("where", "is", "my", "order", "please", "cancel", "the", "invoice")


def text(number: int) -> str:
    """A text of its own for each number below 4096."""
    return " ".join(WORDS[(number >> shift) & 7] for shift in (9, 6, 3, 0))


def entries(numbers: Iterable[int], prefix: str = "e", shift: int = 0) -> list[pb.CatalogueEntry]:
    return [pb.CatalogueEntry(id=f"{prefix}{number}", text=text(number + shift)) for number in numbers]


@dataclass
class Vectors:
    """In Triton's place: a vector for each row, of its ids and its bundle; it notes the rows, and may fail."""

    rows: list[tuple[int, ...]] = field(default_factory=list)
    errors: list[SymbiontError | None] = field(default_factory=list)

    async def infer_rows(self, base: str, rows: Sequence[Row], *, timeout_s: float, **_: Any) -> HostAnswer:
        await asyncio.sleep(0)
        if all(len(row.input_ids) < 3 for row in rows):
            # A version's first rows, before it serves.
            return HostAnswer([self.of(row.bundle, row.input_ids.tolist()) for row in rows], Times())
        if self.errors and (error := self.errors.pop(0)):
            raise error
        self.rows += [tuple(row.input_ids.tolist()) for row in rows]
        return HostAnswer([self.of(row.bundle, row.input_ids.tolist()) for row in rows], Times(0.001, 0.002))

    @staticmethod
    def of(bundle: str, ids: Sequence[int]) -> np.ndarray:
        seed = [int(bundle[:8], 16), *ids]
        return np.random.default_rng(seed).standard_normal(SIZE).astype(np.float32)


@dataclass
class World:
    suite: Any
    vectors: Vectors
    catalogues: CatalogueServiceStub
    inference: InferenceServiceStub

    def promote(self, number: int) -> str:
        """Makes version `number` of the model `vec` and promotes it; returns its bundle."""
        version = self.version("vec", number)
        self.suite.training.promote("vec", "production", version)
        return str(version.bundle_digest)

    def version(self, model: str, number: int) -> model_pb2.ModelVersion:
        manifest = BundleManifest(
            base_digest=BASE,
            tokenizer_digest=self.suite.tokenizer_digest,
            max_tokens=32,
            task="embedding",
            labels=(),
            method=NoMethod(),
            head=EmbeddingHead(pooling="mean", hidden_size=SIZE, size=0),
            lineage=Lineage(
                job=f"jobs/{model}-{number}", training_dataset="", evaluation_dataset="", seed=0, code_version="0"
            ),
            golden=Golden(input_ids=((2, 3),), logits=((0.0,) * SIZE,)),
        )
        return model_pb2.ModelVersion(
            name=f"models/{model}/versions/{number}",
            bundle_digest=write_bundle(self.suite.store, manifest, {}, {}),
            base_digest=BASE,
            tokenizer_digest=self.suite.tokenizer_digest,
        )

    async def create(self, identifier: str = "faq", model: str = "models/vec") -> pb.Catalogue:
        return await self.catalogues.CreateCatalogue(pb.CreateCatalogueRequest(catalogue_id=identifier, model=model))

    async def update(self, given: Sequence[pb.CatalogueEntry], name: str = "catalogues/faq") -> Any:
        request = pb.UpdateCatalogueEntriesRequest(name=name, entries=given)
        return await self.catalogues.UpdateCatalogueEntries(request)

    async def bring(self, *batches: Sequence[pb.CatalogueEntry] | asyncio.Event, **header: Any) -> Any:
        """Imports batches; an event among them is waited for."""

        async def messages() -> AsyncIterator[pb.ImportCatalogueEntriesRequest]:
            yield pb.ImportCatalogueEntriesRequest(header=pb.ImportHeader(**{"name": "catalogues/faq", **header}))
            for batch in batches:
                if isinstance(batch, asyncio.Event):
                    await batch.wait()
                else:
                    yield pb.ImportCatalogueEntriesRequest(batch=pb.CatalogueEntries(entries=batch))
            sent = sum(len(batch) for batch in batches if not isinstance(batch, asyncio.Event))
            yield pb.ImportCatalogueEntriesRequest(end=pb.ImportEnd(entry_count=sent))

        return await self.catalogues.ImportCatalogueEntries(messages())

    async def search(self, *texts: str, name: str = "catalogues/faq", **options: Any) -> pb.SearchCatalogueResponse:
        return await self.catalogues.SearchCatalogue(pb.SearchCatalogueRequest(name=name, texts=texts, **options))

    async def ask(self, model: str, given: str, catalogue: str = "catalogues/faq", **options: Any) -> Any:
        instance = inference_pb2.Instance(query=inference_pb2.Query(text=given, catalogue=catalogue))
        request = inference_pb2.PredictRequest(model=model, instances=[instance], **options)
        return await self.inference.Predict(request)

    async def newest(self, name: str = "catalogues/faq") -> pb.Catalogue:
        return await self.catalogues.GetCatalogue(pb.GetCatalogueRequest(name=name))


@pytest.fixture
async def world(suite: Any, eventually: Any) -> World:
    vectors = Vectors()
    suite.triton.infer_rows = vectors.infer_rows
    made = World(
        suite,
        vectors,
        CatalogueServiceStub(suite.inference.channel),
        InferenceServiceStub(suite.inference.channel),
    )
    made.promote(1)
    return made


async def unit(world: World, bundle: str, given: str) -> np.ndarray:
    """The vector of a text, by the contract of Predict alone."""
    request = inference_pb2.PredictRequest(model=f"bundles/{bundle}", instances=[inference_pb2.Instance(text=given)])
    return np.array((await world.inference.Predict(request)).predictions[0].embedding.values)


async def test_what_is_found_is_what_brute_force_finds(world: World) -> None:
    created = await world.create()
    assert (created.name, created.version, created.entry_count, created.dimensions) == ("catalogues/faq", 1, 0, SIZE)
    assert created.served_model.model_version == "models/vec/versions/1"
    assert [list(r.matches) for r in (await world.search(text(5))).rankings] == [[]]
    given = entries(range(150))
    changed = await world.bring(given[:64], given[64:])
    assert (changed.embedded_count, changed.catalogue.version, changed.catalogue.entry_count) == (150, 2, 150)
    bundle = changed.catalogue.served_model.bundle_digest
    matrix = np.stack([await unit(world, bundle, entry.text) for entry in given])
    answer = await world.search(text(7), text(2000))
    for asked, ranking in zip((text(7), text(2000)), answer.rankings, strict=True):
        scores = matrix.astype(np.float64) @ (await unit(world, bundle, asked)).astype(np.float64)
        expected = np.argsort(-scores)[:10]
        assert [match.index for match in ranking.matches] == expected.tolist()
        assert [match.id for match in ranking.matches] == [given[place].id for place in expected]
        np.testing.assert_allclose([match.score for match in ranking.matches], scores[expected], atol=1e-6)
        assert ranking.catalogue_version == "catalogues/faq/versions/2"
    assert answer.rankings[0].matches[0].id == "e7"
    asked = await world.ask("models/vec", text(7), top_k=3)
    assert list(asked.predictions[0].ranking.matches) == list(answer.rankings[0].matches)[:3]
    assert asked.stage_times.search.ToNanoseconds() > 0
    best = answer.rankings[0].matches[3].score
    above = await world.search(text(7), threshold=best, top_k=1000)
    assert [match.id for match in above.rankings[0].matches] == [m.id for m in answer.rankings[0].matches[:4]]


async def test_changes_make_versions_and_embed_only_what_is_new(world: World) -> None:
    await world.create()
    await world.update(entries(range(6)))
    world.vectors.rows.clear()
    moved = [pb.CatalogueEntry(id="e2", text=text(100)), pb.CatalogueEntry(id="e9", text=text(1)), *entries([3])]
    changed = await world.update(moved)
    counts = changed.embedded_count, changed.unchanged_count, changed.catalogue.version, changed.catalogue.entry_count
    # The text of e9 is that of e1.
    assert (counts, len(world.vectors.rows)) == ((1, 2, 3, 7), 1)
    assert [match.id for match in (await world.search(text(1), top_k=2)).rankings[0].matches] == ["e1", "e9"]
    (best,) = (await world.search(text(100), top_k=1)).rankings[0].matches
    assert (best.id, best.index) == ("e2", 2)
    again = await world.update(moved)
    assert again.catalogue == changed.catalogue
    request = pb.DeleteCatalogueEntriesRequest(name="catalogues/faq", entry_ids=["e0", "e2", "nobody"])
    deleted = await world.catalogues.DeleteCatalogueEntries(request)
    assert (deleted.deleted_count, deleted.catalogue.version, deleted.catalogue.entry_count) == (2, 4, 5)
    assert (await world.catalogues.DeleteCatalogueEntries(request)).catalogue.version == 4
    left = [match.id for match in (await world.search(text(0), top_k=100)).rankings[0].matches]
    assert sorted(left) == ["e1", "e3", "e4", "e5", "e9"]
    replaced = await world.bring(entries([4, 50]), replace=True)
    assert (replaced.deleted_count, replaced.embedded_count, replaced.catalogue.entry_count) == (4, 1, 2)
    samples = await world.suite.inference.samples()
    assert samples("symbiont_inference_catalogue_entries_total", outcome="deleted") == 6
    assert samples("symbiont_inference_catalogue_searches_total", kind="exact") == 3
    assert samples("symbiont_inference_catalogue_loaded_bytes") > 0


async def test_old_versions_answer_until_they_are_pruned(world: World, refusal: Any) -> None:
    await world.create()
    for number in range(4):
        await world.update(entries([number]))
    listed = await world.catalogues.ListCatalogueVersions(pb.ListCatalogueVersionsRequest(parent="catalogues/faq"))
    assert [version.version for version in listed.versions] == [5, 4, 3]
    old = await world.search(text(0), name="catalogues/faq/versions/3")
    assert {match.id for match in old.rankings[0].matches} == {"e0", "e1"}
    status, at, _ = await refusal(world.search(text(0), name="catalogues/faq/versions/2"))
    assert (status, at) == ("NOT_FOUND", "name")
    assert sorted(world.suite.store.list("catalogues")) == sorted(version.digest for version in listed.versions)


async def test_catalogues_are_listed_in_pages_and_deleted(world: World, refusal: Any) -> None:
    for identifier in ("c", "a", "b"):
        await world.create(identifier)
    first = await world.catalogues.ListCatalogues(pb.ListCataloguesRequest(page_size=2))
    rest = await world.catalogues.ListCatalogues(
        pb.ListCataloguesRequest(page_size=2, page_token=first.next_page_token)
    )
    listed = [catalogue.name for page in (first, rest) for catalogue in page.catalogues]
    assert listed == ["catalogues/a", "catalogues/b", "catalogues/c"]
    assert await world.create("a") == first.catalogues[0]
    await world.update(entries(range(3)), "catalogues/a")
    await world.catalogues.DeleteCatalogue(pb.DeleteCatalogueRequest(name="catalogues/a"))
    assert (await refusal(world.newest("catalogues/a")))[:2] == ("NOT_FOUND", "name")
    assert (await refusal(world.search(text(0), name="catalogues/a")))[0] == "NOT_FOUND"
    assert (await world.create("a")).version == 1


def reason_of(error: grpc.aio.AioRpcError) -> str:
    info, status = error_details_pb2.ErrorInfo(), rpc_status.from_call(error)
    return next((str(info.reason) for detail in status.details if detail.Unpack(info)), "")


async def test_another_bundle_is_refused_until_all_is_embedded_again(
    world: World, refusal: Any, eventually: Any
) -> None:
    await world.create()
    await world.update(entries(range(5)))
    old = (await world.newest()).served_model.bundle_digest
    new = world.promote(2)

    async def served() -> str:
        request = inference_pb2.PredictRequest(model="models/vec", instances=[inference_pb2.Instance(text="order")])
        return str((await world.inference.Predict(request)).served_model.bundle_digest)

    await eventually(served, lambda digest: digest == new)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.ask("models/vec", text(1))
    assert (caught.value.code().name, reason_of(caught.value)) == ("FAILED_PRECONDITION", "SKEW")
    assert "instances[0].query.catalogue" in (caught.value.details() or "")
    # The pinned bundle goes on to answer, by any way that names it.
    for answer in (await world.ask("models/vec/versions/1", text(1)), await world.ask(f"bundles/{old}", text(1))):
        assert answer.predictions[0].ranking.matches[0].id == "e1"
    searched = await world.search(text(1))
    assert (searched.rankings[0].matches[0].id, searched.served_model.bundle_digest) == ("e1", old)
    assert (await refusal(world.create()))[:2] == ("ALREADY_EXISTS", "catalogue_id")
    world.vectors.rows.clear()
    moved = await world.bring(entries(range(5)), replace=True, model="models/vec")
    assert (moved.embedded_count, moved.catalogue.served_model.bundle_digest) == (5, new)
    assert len(world.vectors.rows) == 5
    answer = await world.ask("models/vec", text(1))
    (best,) = answer.predictions[0].ranking.matches[:1]
    assert (best.id, best.score) == ("e1", pytest.approx(1.0, abs=1e-6))
    assert (await world.search(text(1))).served_model.bundle_digest == new


async def test_every_answer_is_of_one_version(world: World) -> None:
    """Two sets of entries take turns while searches run: no answer mixes them."""
    await world.create()
    await world.bring(entries(range(40), "b"), replace=True)
    done = asyncio.Event()

    async def write() -> None:
        for turn in range(12):
            prefix, shift = ("a", 300) if turn % 2 == 0 else ("b", 0)
            await world.bring(entries(range(40), prefix, shift), replace=True)
        done.set()

    async def read() -> set[str]:
        seen = set()
        while not done.is_set():
            for ranking in (await world.search(text(3), text(303), top_k=100)).rankings:
                number = int(ranking.catalogue_version.rpartition("/")[2])
                assert {match.id[0] for match in ranking.matches} == {"a" if number % 2 else "b"}
                assert len(ranking.matches) == 40
                seen.add(ranking.catalogue_version)
        return seen

    _, *seen = await asyncio.gather(write(), read(), read())
    assert len(set.union(*seen)) > 1


async def test_an_import_that_is_broken_off_changes_nothing_and_is_taken_up(world: World, eventually: Any) -> None:
    await world.create()
    await world.update(entries(range(3)))
    before = await world.newest()
    given = entries(range(60))
    world.vectors.rows.clear()
    broken = asyncio.create_task(world.bring(given[:30], given[30:31], asyncio.Event()))

    async def rows() -> int:
        return len(world.vectors.rows)

    # Of the first batch three are known. That the second is computed shows that the first was taken.
    await eventually(rows, lambda number: number >= 28)
    broken.cancel()
    with pytest.raises(asyncio.CancelledError):
        await broken

    async def parts() -> int:
        return len(world.suite.store.list("catalogue-parts"))

    await eventually(parts, lambda number: number == 1)
    assert await world.newest() == before
    assert len((await world.search(text(0), top_k=100)).rankings[0].matches) == 3
    world.vectors.rows.clear()
    changed = await world.bring(given[:30], given[30:])
    assert changed.embedded_count in (29, 30)
    assert (changed.embedded_count + changed.unchanged_count, changed.catalogue.entry_count) == (60, 60)
    assert len(set(world.vectors.rows)) == changed.embedded_count
    assert await parts() == 0
    matches = (await world.search(text(20), top_k=1)).rankings[0].matches
    assert (matches[0].id, matches[0].score) == ("e20", pytest.approx(1.0, abs=1e-6))


async def test_an_import_waits_for_a_part_that_comes_back(world: World) -> None:
    await world.create()
    world.vectors.errors = [None, Unavailable("Triton restarts"), Unavailable("Triton restarts")]
    changed = await world.bring(entries(range(200)))
    # Of a call that failed in part, rows may have been computed before.
    assert (changed.embedded_count, len(set(world.vectors.rows))) == (200, 200)
    matches = (await world.search(text(150), top_k=1)).rankings[0].matches
    assert (matches[0].id, matches[0].score) == ("e150", pytest.approx(1.0, abs=1e-6))


async def test_entries_wait_behind_what_somebody_waits_for(world: World) -> None:
    await world.create()
    before = await world.suite.inference.samples()
    await world.bring(entries(range(100)))
    after = await world.suite.inference.samples()

    def waited(samples: Callable[..., float | None], priority: str) -> float:
        return samples("symbiont_inference_wait_seconds_count", priority=priority) or 0.0

    assert waited(after, "batch") > waited(before, "batch")
    assert waited(after, "interactive") == waited(before, "interactive")
    await world.search(text(1))
    await world.search(text(2), priority=inference_pb2.PRIORITY_BATCH)
    last = await world.suite.inference.samples()
    for priority in ("batch", "interactive"):
        assert waited(last, priority) == waited(after, priority) + 1


@pytest.mark.parametrize(("named", "tenant"), [((), "vec"), ((("symbiont-tenant", "acme"),), "acme")])
async def test_rows_are_counted_for_the_caller_else_the_model(
    world: World, named: tuple[tuple[str, str], ...], tenant: str
) -> None:
    await world.create()
    update = pb.UpdateCatalogueEntriesRequest(name="catalogues/faq", entries=entries(range(7)))
    await world.catalogues.UpdateCatalogueEntries(update, metadata=named)
    search = pb.SearchCatalogueRequest(name="catalogues/faq", texts=[text(9), text(8)])
    await world.catalogues.SearchCatalogue(search, metadata=named)
    samples = await world.suite.inference.samples()
    assert samples("symbiont_inference_tenant_rows_total", tenant=tenant) == 9
    digest = world.version("vec", 1).bundle_digest
    assert samples("symbiont_inference_tenant_rows_total", tenant=digest) is None


async def test_a_damaged_version_is_refused(world: World, refusal: Any) -> None:
    await world.create()
    await world.update(entries(range(4)))
    digest = (await world.newest()).digest
    file = world.suite.store.root / "catalogues" / digest / "vectors.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    status, _, told = await refusal(world.search(text(0)))
    assert (status, "differs from its digest" in told) == ("FAILED_PRECONDITION", True)


E = pb.CatalogueEntry
LONG = "x" * ((256 << 10) + 1)
NAMED = {"name": "catalogues/faq"}
ONE = [E(id="a", text="order")]


def _created(**values: Any) -> Callable[[World], Any]:
    return lambda w: w.catalogues.CreateCatalogue(pb.CreateCatalogueRequest(**values))


def _updated(*given: pb.CatalogueEntry, name: str = "catalogues/faq") -> Callable[[World], Any]:
    return lambda w: w.update(given, name)


def _deleted(*ids: str, name: str = "catalogues/faq") -> Callable[[World], Any]:
    return lambda w: w.catalogues.DeleteCatalogueEntries(pb.DeleteCatalogueEntriesRequest(name=name, entry_ids=ids))


async def _streamed(world: World, *messages: pb.ImportCatalogueEntriesRequest) -> Any:
    return await world.catalogues.ImportCatalogueEntries(iter(messages))


HEADER = pb.ImportCatalogueEntriesRequest(header=pb.ImportHeader(**NAMED))
BATCH = pb.ImportCatalogueEntriesRequest(batch=pb.CatalogueEntries(entries=ONE))
END = pb.ImportCatalogueEntriesRequest(end=pb.ImportEnd(entry_count=1))
REFUSED: list[tuple[str, Callable[[World], Any], str, str]] = [
    ("id", _created(catalogue_id="A b", model="models/vec"), "INVALID_ARGUMENT", "catalogue_id"),
    ("no id", _created(model="models/vec"), "INVALID_ARGUMENT", "catalogue_id"),
    ("model", _created(catalogue_id="x", model="vec"), "INVALID_ARGUMENT", "model"),
    ("model's task", _created(catalogue_id="x", model="models/mood"), "INVALID_ARGUMENT", "model"),
    ("no model", _created(catalogue_id="x", model="models/none"), "NOT_FOUND", "model"),
    ("name", _updated(*ONE, name="faq"), "INVALID_ARGUMENT", "name"),
    ("name of a version", _updated(*ONE, name="catalogues/faq/versions/1"), "INVALID_ARGUMENT", "name"),
    ("no catalogue", _updated(*ONE, name="catalogues/none"), "NOT_FOUND", "name"),
    ("no entries", _updated(), "INVALID_ARGUMENT", "entries"),
    ("many entries", _updated(*[E(id=f"{n}", text="order") for n in range(1025)]), "INVALID_ARGUMENT", "entries"),
    ("empty id", _updated(*ONE, E(text="order")), "INVALID_ARGUMENT", "entries[1].id"),
    ("long id", _updated(*ONE, E(id="é" * 65, text="order")), "INVALID_ARGUMENT", "entries[1].id"),
    ("control id", _updated(*ONE, E(id="a\n", text="order")), "INVALID_ARGUMENT", "entries[1].id"),
    ("id twice", _updated(*ONE, *ONE), "INVALID_ARGUMENT", "entries[1].id"),
    ("empty text", _updated(*ONE, E(id="b")), "INVALID_ARGUMENT", "entries[1].text"),
    ("blank text", _updated(*ONE, E(id="b", text=" \n")), "INVALID_ARGUMENT", "entries[1].text"),
    ("long text", _updated(*ONE, E(id="b", text=LONG)), "INVALID_ARGUMENT", "entries[1].text"),
    ("delete nothing", _deleted(), "INVALID_ARGUMENT", "entry_ids"),
    ("delete empty", _deleted("a", ""), "INVALID_ARGUMENT", "entry_ids[1]"),
    ("delete of none", _deleted("a", name="catalogues/none"), "NOT_FOUND", "name"),
    ("nothing imported", lambda w: _streamed(w), "INVALID_ARGUMENT", "header"),
    ("no header", lambda w: _streamed(w, BATCH), "INVALID_ARGUMENT", "header"),
    ("two headers", lambda w: _streamed(w, HEADER, HEADER), "INVALID_ARGUMENT", "batch"),
    ("no end", lambda w: _streamed(w, HEADER), "INVALID_ARGUMENT", "end"),
    ("wrong end", lambda w: _streamed(w, HEADER, END), "INVALID_ARGUMENT", "end.entry_count"),
    ("import name", lambda w: w.bring(ONE, name="faq"), "INVALID_ARGUMENT", "header.name"),
    ("import of none", lambda w: w.bring(ONE, name="catalogues/none"), "NOT_FOUND", "header.name"),
    ("model alone", lambda w: w.bring(ONE, model="models/vec"), "INVALID_ARGUMENT", "header.model"),
    (
        "import model's task",
        lambda w: w.bring(ONE, model="models/mood", replace=True),
        "INVALID_ARGUMENT",
        "header.model",
    ),
    ("imported empty text", lambda w: w.bring([E(id="b")]), "INVALID_ARGUMENT", "batch.entries[0].text"),
    ("empty batch", lambda w: w.bring([]), "INVALID_ARGUMENT", "batch.entries"),
    ("search name", lambda w: w.search("order", name="x"), "INVALID_ARGUMENT", "name"),
    ("search version", lambda w: w.search("order", name="catalogues/faq/versions/01"), "INVALID_ARGUMENT", "name"),
    ("search of none", lambda w: w.search("order", name="catalogues/none"), "NOT_FOUND", "name"),
    ("no text", lambda w: w.search(), "INVALID_ARGUMENT", "texts"),
    ("blank query", lambda w: w.search("order", " "), "INVALID_ARGUMENT", "texts[1]"),
    ("top_k", lambda w: w.search("order", top_k=-1), "INVALID_ARGUMENT", "top_k"),
    ("large top_k", lambda w: w.search("order", top_k=1001), "INVALID_ARGUMENT", "top_k"),
    ("many matches", lambda w: w.search(*["order"] * 101, top_k=1000), "INVALID_ARGUMENT", "top_k"),
    ("threshold", lambda w: w.search("order", threshold=float("nan")), "INVALID_ARGUMENT", "threshold"),
    ("priority", lambda w: w.search("order", priority=9), "INVALID_ARGUMENT", "priority"),
    ("predict top_k", lambda w: w.ask("models/vec", "order", top_k=1001), "INVALID_ARGUMENT", "top_k"),
    (
        "predict name",
        lambda w: w.ask("models/vec", "order", "catalogues/"),
        "INVALID_ARGUMENT",
        "instances[0].query.catalogue",
    ),
    (
        "predict of none",
        lambda w: w.ask("models/vec", "order", "catalogues/none"),
        "NOT_FOUND",
        "instances[0].query.catalogue",
    ),
    ("predict task", lambda w: w.ask("models/mood", "order"), "INVALID_ARGUMENT", "instances[0]"),
    (
        "page token",
        lambda w: w.catalogues.ListCatalogues(pb.ListCataloguesRequest(page_token="?")),
        "INVALID_ARGUMENT",
        "page_token",
    ),
    (
        "parent",
        lambda w: w.catalogues.ListCatalogueVersions(pb.ListCatalogueVersionsRequest(parent="catalogues/none")),
        "NOT_FOUND",
        "parent",
    ),
    (
        "delete none",
        lambda w: w.catalogues.DeleteCatalogue(pb.DeleteCatalogueRequest(name="catalogues/none")),
        "NOT_FOUND",
        "name",
    ),
]


async def test_bad_input_is_refused_by_its_field_before_any_work(world: World, refusal: Any) -> None:
    await world.create()
    before = await world.newest()
    given = {name: (status, at) for name, _, status, at in REFUSED}
    assert len(given) == len(REFUSED)
    found = {name: (await refusal(call(world)))[:2] for name, call, _, _ in REFUSED}
    assert found == given
    assert await world.newest() == before
    assert world.vectors.rows == []


async def test_an_id_that_comes_twice_in_an_import_is_refused(world: World, refusal: Any) -> None:
    await world.create()
    status, at, _ = await refusal(world.bring(entries([1, 2]), entries([3, 1])))
    assert (status, at) == ("INVALID_ARGUMENT", "batch.entries[1].id")
    assert (await world.newest()).version == 1


async def test_a_call_names_few_catalogues(world: World, refusal: Any) -> None:
    await world.create()
    await world.update(entries(range(3)))
    names = ["catalogues/faq", *(f"catalogues/c{number}" for number in range(8))]
    instances = [
        inference_pb2.Instance(query=inference_pb2.Query(text="order", catalogue=name))
        for name in itertools.islice(names, 9)
    ]
    request = inference_pb2.PredictRequest(model="models/vec", instances=instances)
    assert (await refusal(world.inference.Predict(request)))[:2] == ("INVALID_ARGUMENT", "instances")
    mixed = [
        inference_pb2.Instance(text="order"),
        instances[0],
        inference_pb2.Instance(query=inference_pb2.Query(text="order", texts=inference_pb2.Candidates(texts=["my"]))),
        instances[0],
    ]
    answer = await world.inference.Predict(inference_pb2.PredictRequest(model="models/vec", instances=mixed))
    kinds = [prediction.WhichOneof("result") for prediction in answer.predictions]
    assert kinds == ["embedding", "ranking", "ranking", "ranking"]
    assert answer.predictions[1] == answer.predictions[3]
    assert [len(prediction.ranking.matches) for prediction in answer.predictions[1:]] == [3, 1, 3]
    assert answer.predictions[2].ranking.catalogue_version == ""


async def test_the_client_for_asyncio(world: World) -> None:
    async with AsyncClient(Endpoints("127.0.0.1:9", world.suite.inference.address, "127.0.0.1:9")) as client:
        made = await client.create_catalogue("faq", "vec")
        seen: list[int] = []
        given = [(f"e{number}", text(number)) for number in range(300)]

        async def later() -> AsyncIterator[tuple[str, str]]:
            for entry in given:
                yield entry

        done = await client.import_catalogue_entries("faq", later(), progress=seen.append)
        assert (done.embedded_count, seen) == (300, [128, 256, 300])
        again = await client.import_catalogue_entries("faq", given, replace=True)
        assert (again.embedded_count, again.catalogue) == (0, done.catalogue)
        await client.update_catalogue_entries("faq", [("new", text(1000))])
        found = await client.search_catalogue("faq", [text(1000)], top_k=2, threshold=-1.0)
        assert [match.id for match in found.rankings[0].matches][:1] == ["new"]
        assert await client.delete_catalogue_entries("faq", ["new", "none"]) == 1
        assert [c.version for c in await client.list_catalogue_versions("faq")] == [4, 3, 2]
        assert (await client.get_catalogue("faq/versions/2")).entry_count == 300
        assert [c.name async for c in client.list_catalogues()] == [made.name]
        await client.delete_catalogue("faq")
        with pytest.raises(NotFoundError):
            await client.get_catalogue("faq")


async def test_the_client_for_plain_code(world: World) -> None:
    def use() -> None:
        with Client(Endpoints("127.0.0.1:9", world.suite.inference.address, "127.0.0.1:9")) as client:
            client.create_catalogue("faq", "vec@production")
            seen: list[int] = []
            given = ((f"e{number}", text(number)) for number in range(130))
            done = client.import_catalogue_entries("faq", given, progress=seen.append)
            assert (done.embedded_count, seen) == (130, [128, 130])
            client.update_catalogue_entries("faq", [("new", text(1000))])
            found = client.search_catalogue("faq", [text(1000), text(3)], top_k=1)
            assert [ranking.matches[0].id for ranking in found.rankings] == ["new", "e3"]
            assert client.delete_catalogue_entries("faq", ["new"]) == 1
            assert [c.version for c in client.list_catalogue_versions("faq")] == [4, 3, 2]
            assert client.get_catalogue("faq") == next(client.list_catalogues())
            with pytest.raises(InvalidArgumentError) as caught:
                client.import_catalogue_entries("faq", [("a", text(1)), ("a", text(2))])
            assert caught.value.field == "batch.entries[1].id"
            with pytest.raises(TypeError):
                client.search_catalogue("faq", "one text")
            client.delete_catalogue("faq")

    await asyncio.to_thread(use)


def breaking() -> Iterator[tuple[str, str]]:
    yield "a", text(1)
    raise KeyError("the caller's own")


def unwilling(count: int) -> None:
    raise KeyError("the caller's own")


@pytest.mark.parametrize(("entries", "progress"), [(breaking, None), (lambda: [("a", text(1))], unwilling)])
async def test_what_is_wrong_with_entries_comes_out(world: World, entries: Any, progress: Any) -> None:
    endpoints = Endpoints("127.0.0.1:9", world.suite.inference.address, "127.0.0.1:9")
    async with AsyncClient(endpoints) as client:
        await client.create_catalogue("faq", "vec")
        with pytest.raises(KeyError):
            await client.import_catalogue_entries("faq", entries(), progress=progress)

    def use() -> None:
        with Client(endpoints) as client, pytest.raises(KeyError):
            client.import_catalogue_entries("faq", entries(), progress=progress)

    await asyncio.to_thread(use)


async def test_the_commands(world: World, tmp_path: Path) -> None:
    def run(*arguments: str, exit_code: int = 0) -> str:
        address = ["--inference-address", world.suite.inference.address]
        result = CliRunner().invoke(app, ["catalogues", *arguments, *address])
        assert result.exit_code == exit_code, (result.output, result.exception)
        return result.output

    def use() -> None:
        assert "catalogues/faq" in run("create", "faq", "--model", "vec")
        table = tmp_path / "faq.csv"
        table.write_text("number,question\n" + "".join(f"q{n},{text(n)}\n" for n in range(20)))
        told = run("import", "faq", str(table), "--id-column", "number", "--text-column", "question")
        assert "20 embedded" in told
        lines = tmp_path / "more.jsonl"
        lines.write_text(json.dumps({"id": "x", "text": text(50)}) + "\n" + json.dumps({"id": "q1", "text": text(1)}))
        told = run("import", "faq", str(lines))
        assert "1 embedded, 1 known before" in told
        assert "nothing changed" not in told
        assert run("search", "faq", text(50), "-k", "1").splitlines()[1].startswith("x ")
        found = json.loads(run("search", "faq", text(4), "--top-k", "2", "--json"))
        assert (found["matches"][0]["id"], found["catalogue_version"]) == ("q4", "catalogues/faq/versions/3")
        assert "exact" in run("list")
        assert "1 removed" in run("delete", "faq", "--entry", "x")
        assert [line.split()[0] for line in run("describe", "faq").splitlines()[-3:]] == ["4", "3", "2"]
        run("delete", "faq", "--yes")
        assert "faq" not in run("list")
        wrong = tmp_path / "wrong.csv"
        wrong.write_text("a,b\n1,2\n")
        run("import", "faq", str(wrong), exit_code=1)

    await asyncio.to_thread(use)
