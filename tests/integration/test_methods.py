"""Every tuning method from the rows to the real Triton: trained, broken off, resumed, and served beside the others."""

import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from support.attempts import METHODS, Run
from support.registry import upload
from support.tiny import csv_of, labelled_rows, save_base
from symbiont.bundle import load_bundle
from symbiont.common.artifacts import ArtifactStore
from symbiont.engine.row import Row
from symbiont.engine.settings import HostSettings
from symbiont.training import bases, types
from symbiont.training.store import Store
from symbiont.triton.client import HostClient
from symbiont.triton.installation import find_triton
from symbiont.triton.server import TritonServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    return ArtifactStore(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, artifacts: ArtifactStore) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("registry")
    store = Store(f"sqlite:///{folder}/symbiont.db")
    source = types.Source("folder", str(save_base(folder / "tiny")))
    store.add_base(bases.register(artifacts, "tiny", source, "tests", "MIT"))
    store.add_dataset(upload(artifacts, csv_of(labelled_rows(40))))
    yield store
    store.close()


@pytest.fixture(scope="module")
def bundles(registry: Store, artifacts: ArtifactStore) -> dict[str, str]:
    """What each method makes when it is broken off in the middle and taken up again, by another process as it were."""
    made = {}
    for name, method in METHODS.items():
        run = Run(registry, artifacts)
        attempt = run.attempt(**method)
        checkpoint = run.until(13, attempt)
        made[name] = run(replace(attempt, checkpoint_digest=checkpoint.digest))
    assert len(set(made.values())) == len(METHODS)
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory, artifacts: ArtifactStore) -> AsyncIterator[HostClient]:
    triton = find_triton(start=Path(__file__).parent)
    async with (
        TritonServer(triton, tmp_path_factory.mktemp("triton")) as server,
        HostClient(server.url, HostSettings(artifacts.root, threads=1, precision="fp32")) as client,
    ):
        yield client


async def test_served_beside_each_other_they_answer_as_in_training(
    client: HostClient, registry: Store, artifacts: ArtifactStore, bundles: dict[str, str]
) -> None:
    base = registry.base("tiny").digest
    await client.ensure_host(base)
    expected = []
    for digest in bundles.values():
        # What the network that was trained gave for these rows.
        golden = load_bundle(artifacts, digest).manifest.golden
        pairs = zip(golden.input_ids, golden.logits, strict=True)
        expected += [(Row(np.array(ids, np.int32), digest), logits) for ids, logits in pairs]
    random.Random(5).shuffle(expected)
    answer = await client.infer_rows(base, [row for row, _ in expected], timeout_s=60.0)
    for got, (_, logits) in zip(answer.rows, expected, strict=True):
        np.testing.assert_allclose(got, logits, rtol=0, atol=TOLERANCE)
    # And they are not all the same: each learnt something of its own.
    means = {tuple(np.round(load_bundle(artifacts, d).manifest.golden.logits[0], 4)) for d in bundles.values()}
    assert len(means) == len(METHODS)
