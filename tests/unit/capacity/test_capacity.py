"""The parts of a capacity run that need no Triton."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.bundles import random_rows, tiny_base
from symbiont.bundle.store import load_bundle
from symbiont.capacity.bundles import Kind, Shapes, arithmetic, bundle_bytes, copy_base, find_base, read_shapes, write
from symbiont.capacity.findings import Findings, Offered, Options, Throughput
from symbiont.capacity.load import Answers, closed_loop, open_loop
from symbiont.capacity.memory import Memory, read_memory
from symbiont.capacity.report import as_json, as_text
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import InvalidArgument, Unavailable
from symbiont.engine.engine import Engine
from symbiont.engine.row import Row
from symbiont.engine.torch_runtime import TorchRuntime

KINDS = [Kind("lora", 8), Kind("lora", 1), Kind("houlsby", 6)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    return ArtifactStore(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="module")
def base(store: ArtifactStore) -> str:
    return tiny_base(store)


@pytest.fixture(scope="module")
def engine(store: ArtifactStore, base: str) -> Engine:
    return Engine(TorchRuntime(store, base, threads=1), store)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.method}-{kind.rank}")
def test_synthetic_bundles_serve_and_weigh_what_is_computed(
    store: ArtifactStore, base: str, engine: Engine, kind: Kind
) -> None:
    shapes = read_shapes(store, base)
    before = engine.figures()
    digests = [write(store, base, shapes, kind, seed) for seed in range(2)]
    assert len(set(digests)) == 2
    answers = engine.infer([Row(ids, digest) for ids in random_rows(3) for digest in digests])
    assert all(isinstance(answer, np.ndarray) and answer.shape == (2,) for answer in answers)
    now = engine.figures()
    assert now.loads - before.loads == 2
    assert now.bundle_bytes - before.bundle_bytes == 2 * bundle_bytes(shapes, kind)
    bundle = load_bundle(store, digests[0])
    held = sum(array.nbytes for part in (bundle.adapter, bundle.head) for array in part.values())
    assert held == bundle_bytes(shapes, kind)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.method}-{kind.rank}")
def test_the_arithmetic_that_is_shown_gives_the_bytes(store: ArtifactStore, base: str, kind: Kind) -> None:
    shapes = read_shapes(store, base)
    formula = arithmetic(shapes, kind).replace(" modules", "").replace("head ", "").replace(" x ", " * ")
    assert eval(formula.removesuffix(" B")) == bundle_bytes(shapes, kind)


def test_shapes_are_those_of_the_runtime(store: ArtifactStore, base: str, engine: Engine) -> None:
    shapes = read_shapes(store, base)
    assert engine.facts.linears.items() <= shapes.modules.items()
    assert (shapes.hidden_size, shapes.max_length) == (engine.facts.hidden_size, engine.facts.max_length)


def test_a_copied_base_is_the_base_under_another_digest(store: ArtifactStore, base: str, tmp_path: Path) -> None:
    target = ArtifactStore(tmp_path)
    copies = {copy_base(store, base, target) for _ in range(2)}
    assert len(copies) == 2
    assert base not in copies
    row = [Row(ids) for ids in random_rows(1)]
    (expected,) = Engine(TorchRuntime(store, base, threads=1), store).infer(row)
    (found,) = Engine(TorchRuntime(target, copies.pop(), threads=1), target).infer(row)
    np.testing.assert_array_equal(found, expected)


def test_a_base_is_found_by_its_beginning(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    with pytest.raises(InvalidArgument, match="there are: none"):
        find_base(store, "")
    first = store.put("bases", {}, {"n": 1})
    assert find_base(store, "") == find_base(store, first[:12]) == first
    second = store.put("bases", {}, {"n": 2})
    with pytest.raises(InvalidArgument, match="names 2 bases") as caught:
        find_base(store, "")
    assert first[:12] in str(caught.value)
    assert second[:12] in str(caught.value)


@pytest.mark.parametrize(
    ("files", "available"),
    [
        ({}, None),
        ({"memory.max": "max", "memory.current": "5"}, None),
        ({"memory.max": "3000", "memory.current": "1000"}, 2000),
        ({"memory.max": "3000", "memory.current": "4000"}, 0),
        ({"memory/memory.limit_in_bytes": "9000", "memory/memory.usage_in_bytes": "1000"}, 8000),
        ({"memory/memory.limit_in_bytes": str(1 << 62), "memory/memory.usage_in_bytes": "1"}, None),
    ],
)
def test_the_control_group_bounds_memory(tmp_path: Path, files: dict[str, str], available: int | None) -> None:
    (tmp_path / "memory").mkdir()
    for name, content in files.items():
        (tmp_path / name).write_text(content + "\n")
    found = read_memory(tmp_path)
    assert found.available == (found.machine if available is None else available)
    assert found.machine > 1 << 20


def test_quantiles_count_what_was_never_answered() -> None:
    answers = Answers(1.0, 10.0, [0.1 * number for number in range(1, 100)], failed=1)
    assert answers.quantile(0.5) == pytest.approx(5.0)
    assert answers.quantile(0.99) == pytest.approx(9.9)
    assert replace(answers, failed=2).quantile(0.99) == float("inf")
    assert Answers(1.0).quantile(0.99) == float("inf")
    assert answers.rate == pytest.approx(9.9)


async def test_a_closed_loop_keeps_so_many_in_flight() -> None:
    running, seen = 0, set()

    async def ask() -> None:
        nonlocal running
        running += 1
        seen.add(running)
        await asyncio.sleep(0.001)
        running -= 1

    answers = await closed_loop(ask, at_once=3, seconds=0.0, least=9)
    assert max(seen) == 3
    assert len(answers.seconds) >= 9


async def test_a_closed_loop_ends_when_nothing_is_answered() -> None:
    async def ask() -> None:
        await asyncio.sleep(0)
        raise Unavailable("away")

    answers = await closed_loop(ask, at_once=2, seconds=60.0)
    assert answers.rate == 0.0
    assert answers.failed > 4


async def test_an_open_loop_does_not_wait_for_answers() -> None:
    """A host that stands still for a while is seen by all requests that were due meanwhile."""
    gate, asked = asyncio.Event(), 0

    async def ask() -> None:
        nonlocal asked
        asked += 1
        if asked == 20:
            gate.set()
        await gate.wait()
        if asked % 2:
            raise Unavailable("away")

    answers = await open_loop(ask, rate=2000.0, requests=20)
    assert asked == 20
    assert len(answers.seconds) + answers.failed == 20
    assert answers.quantile(0.5) > 0


def make_findings(**changes: Any) -> Findings:
    modules = {
        f"layer.{number}.attention.self.{name}": (384, 384) for number in range(6) for name in ("query", "value")
    } | {f"layer.{number}.output.dense": (1536, 384) for number in range(6)}
    values: dict[str, Any] = {
        "options": Options(Kind("lora", 8), 64, 16, 0.05, 0.1, 4.0),
        "base": "a" * 64,
        "shapes": Shapes(384, 512, 22_700_000, modules),
        "triton": "127.0.0.1:8001",
        "cores": 2,
        "computed": 298_000,
        "warm": 16,
        "host_before": 500 << 20,
        "host_after": (500 << 20) + 48 * 300_000,
        "reported": 298_000.0,
        "load_s": 0.01,
        "memory": Memory(8 << 30, 4 << 30, 1 << 30),
        "serving": False,
        "throughput": [
            Throughput(1, 16, 50.0),
            Throughput(8, 16, 200.0),
            Throughput(1, 64, 20.0),
            Throughput(8, 64, 80.0),
        ],
        "offered": [
            Offered(10.0, 10.0, 0.01, 0.02, 0),
            Offered(40.0, 39.0, 0.02, 0.05, 0),
            Offered(80.0, 60.0, 0.5, float("inf"), 9),
        ],
    }
    return Findings(**{**values, **changes})


def test_what_fits_is_memory_over_bytes() -> None:
    found = make_findings()
    assert found.measured == found.per_bundle == 300_000
    assert found.host_bytes == (500 << 20) - 16 * 300_000
    assert found.room == round(0.9 * (3 << 30)) - found.host_bytes
    assert found.fit == found.room // 300_000
    assert found.best == found.offered[1]


def test_a_host_that_runs_already_needs_no_room_for_its_base() -> None:
    found = make_findings(serving=True)
    assert (found.host_bytes, found.room) == (0, round(0.9 * (3 << 30)))


def test_a_bundle_is_not_taken_for_less_than_its_arrays() -> None:
    found = make_findings(host_after=500 << 20)
    assert (found.measured, found.per_bundle) == (0, 298_000)


def test_nothing_fits_where_there_is_no_room() -> None:
    found = make_findings(memory=Memory(100 << 20))
    assert (found.room, found.fit) == (0, 0)


def test_the_report_shows_its_arithmetic() -> None:
    found = make_findings()
    text = as_text(found)
    for line in (
        "(12 modules x 8 x (384 + 384) + head 2 x (384 + 1)) x 4 B",
        "/ 48 bundles = 300,000 B (293.0 KiB)",
        "4,096.0 MiB limit - 1,024.0 MiB used = 3,072.0 MiB",
        f"{found.room:,} B / 300,000 B = {found.fit:,} bundles",
        "40 requests of 16 tokens a second hold p99 <= 50 ms",
    ):
        assert line in text
    assert [line.split()[-1] for line in text.splitlines() if line.endswith("kept")] == ["kept"] * 3
    assert text.count("not kept") == 1
    assert "no load that was tried" in as_text(make_findings(offered=[]))


def test_the_json_has_every_figure_of_the_report() -> None:
    found = as_json(make_findings())
    assert found["bundles_that_fit"] == make_findings().fit
    assert found["largest_load_that_holds"]["offered"] == 40.0
    assert found["options"]["kind"] == {"method": "lora", "rank": 8}
    assert len(found["throughput"]) == 4
