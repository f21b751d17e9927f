"""Catalogues with every kind of adapter: what is found in one equals what plain transformers and PEFT find.

Real services over gRPC, and a real Triton.
"""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio

from symbiont.api.inference.v1 import catalogue_pb2
from symbiont.api.inference.v1 import inference_pb2 as pb
from symbiont.api.inference.v1.catalogue_pb2_grpc import CatalogueServiceStub

from .conftest import TEXTS, World

pytestmark = pytest.mark.asyncio(loop_scope="module")
TOLERANCE = 1e-4
ADAPTERS: dict[str, dict[str, Any]] = {
    "none": {"rank": 0},
    "lora": {"rank": 4},
    "adalora": {"rank": 3, "adalora": True},
    "houlsby": {"rank": 6, "houlsby": "gelu", "target_modules": ("output.dense",)},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def catalogues(world: World) -> AsyncIterator[CatalogueServiceStub]:
    async with grpc.aio.insecure_channel(world.address) as channel:
        yield CatalogueServiceStub(channel)


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_what_is_found_is_what_plain_transformers_finds(
    world: World, catalogues: CatalogueServiceStub, adapter: str
) -> None:
    model, reference = world.bundle(task="embedding", num_labels=8, seed=13, **ADAPTERS[adapter])
    vectors = np.stack([reference.logits(np.array(world.encode(text).ids, np.int32)) for text in TEXTS])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    create = catalogue_pb2.CreateCatalogueRequest(catalogue_id=f"of-{adapter}", model=model)
    created = await catalogues.CreateCatalogue(create, timeout=120)
    entries = [catalogue_pb2.CatalogueEntry(id=f"e{n}", text=text) for n, text in enumerate(TEXTS)]
    messages = [
        catalogue_pb2.ImportCatalogueEntriesRequest(header=catalogue_pb2.ImportHeader(name=created.name)),
        *(
            catalogue_pb2.ImportCatalogueEntriesRequest(batch=catalogue_pb2.CatalogueEntries(entries=entries[a:b]))
            for a, b in ((0, 2), (2, len(entries)))
        ),
        catalogue_pb2.ImportCatalogueEntriesRequest(end=catalogue_pb2.ImportEnd(entry_count=len(entries))),
    ]
    changed = await catalogues.ImportCatalogueEntries(iter(messages), timeout=120)
    assert (changed.embedded_count, changed.catalogue.entry_count) == (len(set(TEXTS)), len(TEXTS))
    search = catalogue_pb2.SearchCatalogueRequest(name=created.name, texts=TEXTS, top_k=3)
    found = await catalogues.SearchCatalogue(search, timeout=120)
    queries = [pb.Instance(query=pb.Query(text=text, catalogue=created.name)) for text in TEXTS]
    asked = await world.ask(model, queries, top_k=3)
    for number, (ranking, prediction) in enumerate(zip(found.rankings, asked.predictions, strict=True)):
        best = np.sort(vectors @ vectors[number])[::-1][:3]
        np.testing.assert_allclose([m.score for m in ranking.matches], best, rtol=0, atol=TOLERANCE)
        assert [m.id for m in prediction.ranking.matches] == [m.id for m in ranking.matches]
        assert ranking.matches[0].id == f"e{number}"
        for match in ranking.matches:
            assert match.score == pytest.approx(float(vectors[int(match.id[1:])] @ vectors[number]), abs=TOLERANCE)
