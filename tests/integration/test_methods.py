"""Every tuning method with every task head, from the rows to the real Triton: trained, and served beside all others.

In every run each head has a few of the methods, other ones than the head before, and of these one is broken off and
resumed; in `make proofs` every one is made with every one, and resumed.
"""

import random
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from support import proofs
from support.attempts import METHODS, Run
from support.registry import tiny_spec
from support.tasks import HEADS
from support.tiny import save_base
from symbiont.bundle import load_bundle
from symbiont.common.artifacts import ArtifactStore
from symbiont.engine.row import Row
from symbiont.engine.settings import HostSettings
from symbiont.training import bases, types
from symbiont.training.resolving import resolve
from symbiont.training.store import Store
from symbiont.training.worker.attempt import Attempt
from symbiont.triton.client import HostClient
from symbiont.triton.installation import find_triton
from symbiont.triton.server import TritonServer

# Some hundred trainings, one for each method with each head.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600), pytest.mark.proof]
TOLERANCE = 1e-4
# Few steps: what is learnt is not judged here.
HYPER = {"epochs": 1, "batch_size": 8, "learning_rate": 0.01, "checkpoint_interval": 5}
BROKEN_OFF = 2
# Of each head, so many methods are trained, and so many of these broken off.
TRAINED = proofs.size("TRAINED", small=2, whole=len(METHODS))
RESUMED = proofs.size("RESUMED", small=1, whole=len(METHODS))


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    return ArtifactStore(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, artifacts: ArtifactStore) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("registry")
    store = Store(f"sqlite:///{folder}/symbiont.db")
    source = types.Source("folder", str(save_base(folder / "tiny")))
    store.add_base(bases.register(artifacts, "tiny", source, "tests", "MIT"))
    for name, head in HEADS.items():
        store.add_dataset(head.dataset(artifacts, name))
    yield store
    store.close()


@pytest.fixture(scope="module")
def bundles(registry: Store, artifacts: ArtifactStore) -> dict[tuple[str, str], str]:
    """What each method makes with each head; some are broken off in the middle and resumed, by others as it were."""
    made = {}
    for number, (head, case) in enumerate(HEADS.items()):
        # Of the next head other ones.
        order = [*METHODS.items()]
        order = [*order[number % len(order) :], *order[: number % len(order)]]
        for turn, (method, settings) in enumerate(order[:TRAINED]):
            run = Run(registry, artifacts)
            spec = tiny_spec(dataset=f"datasets/{head}", hyperparameters=HYPER, **settings, **case.head)
            attempt = Attempt("job-test", *resolve(spec, registry), "")
            if turn < RESUMED:
                attempt = replace(attempt, checkpoint_digest=run.until(BROKEN_OFF, attempt).digest)
            made[method, head] = run(attempt)
    assert len(HEADS) >= len(METHODS)
    assert {method for method, _ in made} == set(METHODS)
    assert len(set(made.values())) == TRAINED * len(HEADS)
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory, artifacts: ArtifactStore) -> AsyncIterator[HostClient]:
    triton = find_triton(start=Path(__file__).parent)
    async with (
        TritonServer(triton, tmp_path_factory.mktemp("triton")) as server,
        HostClient(server.url, HostSettings(artifacts.root, threads=1, precision="fp32", max_slots=128)) as client,
    ):
        yield client


async def test_served_beside_each_other_they_answer_as_in_training(
    client: HostClient, registry: Store, artifacts: ArtifactStore, bundles: dict[tuple[str, str], str]
) -> None:
    asked: dict[str, list[tuple[Row, tuple[float, ...]]]] = defaultdict(list)
    for digest in bundles.values():
        manifest = load_bundle(artifacts, digest).manifest
        # What the network that was trained gave for these rows.
        golden = manifest.golden
        starts = golden.segment_starts or (0,) * len(golden.input_ids)
        features = golden.features or ((),) * len(golden.input_ids)
        for ids, logits, start, beside in zip(golden.input_ids, golden.logits, starts, features, strict=True):
            row = Row(np.array(ids, np.int32), digest, start, np.array(beside, np.float32))
            asked[manifest.base_digest].append((row, logits))
    # All on the base that they share, but for those that have one of their own.
    base = registry.base("tiny").digest
    shared = [digest for (method, _), digest in bundles.items() if method != "full"]
    assert {row.bundle for row, _ in asked[base]} == set(shared)
    assert len(asked) == 1 + sum(method == "full" for method, _ in bundles)
    for base, rows in asked.items():
        await client.ensure_host(base)
        random.Random(5).shuffle(rows)
        answer = await client.infer_rows(base, [row for row, _ in rows], timeout_s=240.0)
        for got, (_, logits) in zip(answer.rows, rows, strict=True):
            np.testing.assert_allclose(got, logits, rtol=0, atol=TOLERANCE)


async def test_each_learnt_something_of_its_own(artifacts: ArtifactStore, bundles: dict[tuple[str, str], str]) -> None:
    """Had a method no effect, its answers would be those of the head alone, or of another one."""
    for head in HEADS:
        made = [load_bundle(artifacts, bundles[key]).manifest for key in bundles if key[1] == head]
        assert len({manifest.head.kind for manifest in made}) == 1
        first = {tuple(np.round(manifest.golden.logits[0], 5)) for manifest in made}
        # A plain and a projected prefix of few steps, or one of zeros, may be near each other, but not equal.
        assert len(first) == TRAINED, head
