"""Several Tritons behind one inference: bundles on both, numbers as of one, and restarts that no caller notices."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from support.bundles import Reference, random_bundle, random_rows, tiny_base
from support.waiting import until
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import Unavailable
from symbiont.engine.openvino_stored import load_graph
from symbiont.engine.row import Row
from symbiont.engine.settings import HostSettings
from symbiont.triton.addresses import Addresses
from symbiont.triton.client import HostClient
from symbiont.triton.installation import find_triton
from symbiont.triton.placement import Placement, Spread
from symbiont.triton.pool import HostPool
from symbiont.triton.server import TritonServer
from symbiont.triton.servers import Watching

pytestmark = pytest.mark.asyncio(loop_scope="module")
TOLERANCE = 1e-4


@dataclass
class Setting:
    servers: dict[str, TritonServer]
    store: ArtifactStore
    base: str
    # By bundle.
    references: dict[str, Reference]
    pool: HostPool

    def rows(self, count: int = 5) -> list[Row]:
        """Rows of all bundles, mixed."""
        return [Row(ids, bundle) for ids in random_rows(count, seed=count) for bundle in self.references]

    def check(self, rows: list[Row], answers: list[np.ndarray]) -> None:
        """The values must be those of plain transformers and PEFT."""
        for row, values in zip(rows, answers, strict=True):
            expected = self.references[row.bundle].logits(row.input_ids)
            np.testing.assert_allclose(values, expected, rtol=0, atol=TOLERANCE)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def setting(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Setting]:
    folder = tmp_path_factory.mktemp("several")
    store, installation = ArtifactStore(folder / "artifacts"), find_triton(start=Path(__file__).parent)
    base = tiny_base(store)
    load_graph(store, base)
    async with AsyncExitStack() as stack:
        servers = {}
        for name in ("one", "two"):
            server = await stack.enter_async_context(TritonServer(installation, folder / name))
            servers[server.url] = server
        # Ports are chance, and so is what the hash makes of them: bundles until both servers have one.
        placement = Placement(list(servers), Spread())
        references: dict[str, Reference] = {}
        while len(placement.divide(base, [Row(random_rows(1)[0], bundle) for bundle in references])) < 2:
            bundle, reference = random_bundle(store, base, seed=len(references), rank=4, num_labels=3)
            references[bundle] = reference
        told = HostSettings(store.root, threads=1, precision="fp32")
        pool = await stack.enter_async_context(HostPool(Addresses.parse(",".join(servers)), told, Spread(), Watching()))
        yield Setting(servers, store, base, references, pool)


async def infer(pool: HostPool, base: str, rows: list[Row]) -> list[np.ndarray]:
    answer = await pool.infer_rows(base, rows, timeout_s=120)
    for row in answer.rows:
        assert not isinstance(row, Exception), row
    return [row for row in answer.rows if not isinstance(row, Exception)]


async def test_rows_go_to_both_and_the_numbers_are_those_of_one(setting: Setting) -> None:
    rows = setting.rows()
    answers = await infer(setting.pool, setting.base, rows)
    setting.check(rows, answers)
    for server in setting.servers.values():
        assert server.log_file.read_text().count("successfully loaded") == 1
    async with HostClient(next(iter(setting.servers)), HostSettings(setting.store.root)) as alone:
        for mine, theirs in zip(answers, await alone.infer(setting.base, rows), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=TOLERANCE)


async def test_one_that_dies_is_left_out_and_comes_back_with_its_hosts(setting: Setting) -> None:
    rows, pool = setting.rows(), setting.pool
    await infer(pool, setting.base, rows)
    await until(lambda: pool.ready == 2, 60)
    for url, server in setting.servers.items():
        await server.kill()
        setting.check(rows, await infer(pool, setting.base, rows))
        await until(lambda: pool.ready == 1, 60)
        setting.check(rows, await infer(pool, setting.base, rows))
        await server.start()
        await until(lambda: pool.ready == 2, 60)
        async with HostClient(url, HostSettings(setting.store.root)) as alone:
            assert await alone.host_ready(setting.base)


@pytest.mark.slow
async def test_without_any_the_error_names_each(setting: Setting) -> None:
    for server in setting.servers.values():
        await server.kill()
    await until(lambda: setting.pool.ready == 0, 60)
    with pytest.raises(Unavailable) as raised:
        await setting.pool.infer_rows(setting.base, setting.rows())
    assert all(url in str(raised.value) for url in setting.servers)
    await asyncio.gather(*(server.start() for server in setting.servers.values()))
    await until(lambda: setting.pool.ready == 2, 60)
    rows = setting.rows()
    setting.check(rows, await infer(setting.pool, setting.base, rows))
