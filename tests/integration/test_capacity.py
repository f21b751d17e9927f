"""Metrics of hosts in a real Triton, and a capacity run beside a host that serves there."""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from support.bundles import random_bundle, random_rows, tiny_base
from symbiont.capacity.__main__ import main
from symbiont.common.artifacts import ArtifactStore
from symbiont.engine.metrics import METRICS, PROCESS_BYTES
from symbiont.engine.openvino_stored import load_graph
from symbiont.engine.row import Row
from symbiont.engine.settings import HostSettings
from symbiont.triton.client import HostClient
from symbiont.triton.installation import find_triton
from symbiont.triton.server import TritonServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
# A busy machine takes its time to import torch.
PATIENCE_S = 120.0
IDS = random_rows(1)[0]


@dataclass
class World:
    server: TritonServer
    client: HostClient
    store: ArtifactStore
    base: str

    async def metrics(self) -> dict[str, list[tuple[dict[str, str], float]]]:
        """Returns the hosts' metrics, as Triton serves them: labels and values by name."""
        url = f"http://127.0.0.1:{self.server.metrics_port}/metrics"
        async with httpx.AsyncClient(trust_env=False) as client:
            text = (await client.get(url)).text
        found: dict[str, list[tuple[dict[str, str], float]]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name.startswith("symbiont_host_"):
                    found.setdefault(sample.name, []).append((sample.labels, sample.value))
        return found

    async def values(self) -> dict[str, float]:
        """Returns the metrics of the one process of the base's host."""
        return {
            name: value
            for name, samples in (await self.metrics()).items()
            for labels, value in samples
            if labels == {"base": self.base[:12], "process": "0"}
        }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    store = ArtifactStore(tmp_path_factory.mktemp("artifacts"))
    installation = find_triton(start=Path(__file__).parent)
    settings = HostSettings(store.root, threads=1, max_slots=2)
    async with (
        TritonServer(installation, tmp_path_factory.mktemp("triton")) as server,
        HostClient(server.url, settings) as client,
    ):
        base = tiny_base(store)
        load_graph(store, base)
        await client.ensure_host(base)
        yield World(server, client, store, base)


async def test_triton_serves_what_a_host_holds_and_did(world: World) -> None:
    assert (await world.values())["symbiont_host_bundles"] == 0
    digests = [random_bundle(world.store, world.base, seed=seed)[0] for seed in range(3)]
    for digest in (*digests, digests[2]):
        await world.client.infer(world.base, [Row(IDS, digest)], timeout_s=PATIENCE_S)
    await world.client.infer_rows(world.base, [Row(IDS, "f" * 64), Row(IDS)], timeout_s=PATIENCE_S)
    await world.client.infer_rows(world.base, [Row(IDS, expires=0.0)] * 3 + [Row(IDS)], timeout_s=PATIENCE_S)
    found = await world.values()
    assert set(found) == {name for name, _, _ in METRICS.values()} | {PROCESS_BYTES}
    counted = {name: found[name] for field, (name, _, _) in METRICS.items() if field != "bundle_bytes"}
    assert counted.pop("symbiont_host_bundle_load_seconds_total") > 0
    assert counted == {
        "symbiont_host_bundles": 2,
        "symbiont_host_bundle_slots": 2,
        "symbiont_host_bundle_loads_total": 3,
        "symbiont_host_bundle_load_failures_total": 1,
        "symbiont_host_bundle_evictions_total": 1,
        "symbiont_host_expired_rows_total": 3,
    }
    bundle = world.store.root / "bundles" / digests[2]
    files = sum(file.stat().st_size for file in bundle.glob("*.safetensors"))
    # Less the headers of the files.
    assert 0.5 * files < found["symbiont_host_bundle_bytes"] / 2 <= files
    assert found[PROCESS_BYTES] > 50 << 20


async def test_a_killed_host_is_not_counted_beside_the_next(world: World) -> None:
    for stub in [p for p in psutil.process_iter() if p.ppid() == world.server.pid and "stub" in p.name()]:
        stub.kill()
    await world.client.infer(world.base, [Row(IDS)], timeout_s=PATIENCE_S)
    found = await world.metrics()
    assert {name: len(samples) for name, samples in found.items()} == dict.fromkeys(found, 1)
    assert (await world.values())["symbiont_host_bundles"] == 0


async def test_a_host_that_is_loaded_anew_is_counted_anew(world: World) -> None:
    """Triton has crashed on metrics that two processes of one model shared."""
    digest, _ = random_bundle(world.store, world.base, seed=9)
    await world.client.unload(world.base)
    await world.client.infer(world.base, [Row(IDS, digest)], timeout_s=PATIENCE_S)
    found = await world.metrics()
    living = [value for labels, value in found["symbiont_host_bundles"] if value]
    assert living == [1]
    assert await world.client.ready()


@pytest.mark.slow
async def test_a_run_says_what_fits_and_leaves_nothing(
    world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = set((await world.metrics())["symbiont_host_bundles"][0][0].items())
    flags = {
        "artifacts": world.store.root,
        "triton-address": world.server.url,
        "metrics-url": f"http://127.0.0.1:{world.server.metrics_port}/metrics",
        "bundles": 8,
        "rank": 4,
        "seconds": 0.1,
        "p99-ms": 60_000,
    }
    arguments = [f"--{name}={value}" for name, value in flags.items()]
    assert await asyncio.to_thread(main, [*arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["computed"] == found["reported"] == (4 * 4 * (32 + 32) + 2 * 33) * 4
    assert found["bundles_that_fit"] == int(found["room_bytes"] // found["bytes_per_bundle"]) > 0
    assert found["serving"] is True
    assert {cell["rows"] for cell in found["throughput"]} == {1, 8, 32, 64}
    assert all(cell["rows_per_s"] > 0 for cell in found["throughput"])
    assert found["largest_load_that_holds"]["p99"] <= 60
    # The folder is gone, and so is the host; that which serves has kept its place.
    assert not await asyncio.to_thread(lambda: list(tmp_path.iterdir()))
    assert world.store.list("bases") == [world.base]
    assert await world.client.host_ready(world.base)
    async with asyncio.timeout(60):
        while len(samples := (await world.metrics())["symbiont_host_bundles"]) > 1:  # noqa: ASYNC110, Triton tells nobody
            await asyncio.sleep(0.05)
    assert set(samples[0][0].items()) == before


async def test_a_run_that_is_ended_leaves_nothing(world: World, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "symbiont.capacity", f"--artifacts={world.store.root}", "--bundles=8"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    process = await asyncio.create_subprocess_exec(*command, env=environment, stderr=asyncio.subprocess.PIPE)
    tritons: list[psutil.Process] = []
    async with asyncio.timeout(60):
        # Its Triton runs, and is about to load the base.
        while not tritons:
            await asyncio.sleep(0.05)
            tritons = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    _, said = await process.communicate()
    assert process.returncode == 1, said.decode()
    assert b"stopped" in said
    assert not [p for p in tritons if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert not await asyncio.to_thread(lambda: list(tmp_path.iterdir()))


async def test_what_cannot_be_measured_is_said_in_a_line(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [f"--artifacts={world.store.root}", "--base=ffff"]
    assert await asyncio.to_thread(main, arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "error: base: 'ffff' names 0 bases" in captured.err
