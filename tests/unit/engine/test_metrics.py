"""A host's figures are right, and Triton is told of every change once."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from symbiont.bundle.store import load_bundle
from symbiont.common.errors import NotFound
from symbiont.engine.figures import HostFigures, size_of
from symbiont.engine.metrics import METRICS, PROCESS_BYTES, HostMetrics, claim, resident_bytes
from symbiont.engine.row import Row

IDS = np.array([1, 2, 3], np.int32)


class FakeMetric:
    def __init__(self, kind: str) -> None:
        self.kind, self.value, self.messages = kind, 0.0, 0

    def set(self, value: float) -> None:
        assert self.kind == "gauge"
        self.value, self.messages = value, self.messages + 1

    def increment(self, value: float) -> None:
        assert self.kind == "counter"
        self.value, self.messages = self.value + value, self.messages + 1


class Triton:
    def __init__(self) -> None:
        self.metrics: dict[str, FakeMetric] = {}
        self.labels: list[dict[str, str]] = []

    def make(self, name: str, kind: str, description: str, labels: dict[str, str]) -> FakeMetric:
        assert description.endswith(".")
        self.labels.append(labels)
        self.metrics[name] = FakeMetric(kind)
        return self.metrics[name]


def test_figures_follow_what_happens(make_engine: Any, world: Any) -> None:
    engine = make_engine(max_slots=2)
    first, second, third = world.bundles[:3]
    assert engine.figures() == HostFigures(slots=2)
    engine.infer([world.row(IDS, first), world.row(IDS, second), world.row(IDS, first)])
    sizes = {digest: size_on_disk(world, digest) for digest in (first, second, third)}
    now = engine.figures()
    assert now == HostFigures(2, sizes[first] + sizes[second], loads=2, load_seconds=now.load_seconds, slots=2)
    assert now.load_seconds > 0
    engine.infer([world.row(IDS, third)])
    resident = engine.resident()
    later = engine.figures()
    assert (later.bundles, later.bundle_bytes) == (2, sum(sizes[digest] for digest in resident))
    assert (later.loads, later.evictions) == (3, 1)
    assert later.load_seconds > now.load_seconds
    expired = Row(IDS, third, expires=time.monotonic() - 1)
    engine.infer([expired, world.row(IDS, third), expired])
    assert engine.figures().expired_rows == 2
    (error,) = engine.infer([Row(IDS, "f" * 64)])
    assert isinstance(error, NotFound)
    assert (engine.figures().failed_loads, engine.figures().loads) == (1, 3)


def size_on_disk(world: Any, digest: str) -> int:
    bundle = load_bundle(world.store, digest)
    return sum(array.nbytes for part in (bundle.adapter, bundle.head) for array in part.values())


def test_every_bundle_weighs_what_its_arrays_do(make_engine: Any, world: Any) -> None:
    """Of every method, task and size; AdaLoRA is folded, which spares the singular values."""
    for digest in world.bundles:
        engine = make_engine()
        engine.infer([world.row(IDS, digest)])
        method = world.store.manifest("bundles", digest)["method"]["kind"]
        expected = size_on_disk(world, digest)
        if method == "adalora":
            assert 0 < engine.figures().bundle_bytes <= expected
        else:
            assert engine.figures().bundle_bytes == expected


def test_sizes_of_nested_parts() -> None:
    array = np.zeros(3, np.float32)
    assert size_of({"a": array, "b": {"c": array[:1]}, "d": "text"}) == 16
    assert size_of(None) == 0


def test_triton_hears_of_each_change_once() -> None:
    triton, now = Triton(), HostFigures(slots=8)
    metrics = HostMetrics(triton.make, "a" * 64, lambda: now)
    assert triton.metrics["symbiont_host_bundle_slots"].value == 8
    assert set(triton.metrics) == {name for name, _, _ in METRICS.values()} | {PROCESS_BYTES}
    assert all(labels == {"base": "a" * 12, "process": labels["process"]} for labels in triton.labels)
    said = {name: metric.messages for name, metric in triton.metrics.items()}
    metrics.update()
    assert {name: metric.messages for name, metric in triton.metrics.items()} == said
    now = HostFigures(2, 300, loads=3, failed_loads=1, evictions=1, expired_rows=4, load_seconds=0.5, slots=8)
    for _ in range(3):
        metrics.update()
    now = HostFigures(1, 100, loads=3, failed_loads=1, evictions=2, expired_rows=4, load_seconds=0.5, slots=8)
    metrics.update()
    values = {METRICS[field][0]: getattr(now, field) for field in METRICS}
    assert {name: triton.metrics[name].value for name in values} == values
    assert triton.metrics["symbiont_host_bundle_loads_total"].messages == 1
    assert triton.metrics[PROCESS_BYTES].value > 1 << 20
    metrics.close()
    metrics.update()


def test_processes_of_a_host_that_live_at_one_time_have_different_numbers(tmp_path: Path) -> None:
    first, held = claim(tmp_path, "base")
    second, other = claim(tmp_path, "base")
    elsewhere, foreign = claim(tmp_path, "another base")
    assert (first, second, elsewhere) == (0, 1, 0)
    held.close()
    third, again = claim(tmp_path, "base")
    assert third == 0
    for file in (other, again, foreign):
        file.close()


def test_a_killed_process_leaves_its_number(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys, time; from symbiont.engine.metrics import claim; "
        "number, held = claim(pathlib.Path(sys.argv[1]), 'b'); print(number, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        number, file = claim(tmp_path, "b")
        assert number == 1
        file.close()
        process.kill()
        process.wait()
    number, file = claim(tmp_path, "b")
    assert number == 0
    file.close()


def test_this_process_has_memory() -> None:
    assert resident_bytes() == pytest.approx(psutil.Process().memory_info().rss, rel=0.1)
