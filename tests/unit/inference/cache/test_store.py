"""The store of the response cache: bounded in bytes and in time, and proof against who holds what it gives."""

import random
import tracemalloc
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from symbiont.inference.cache.store import ENTRY_BYTES, Store, bytes_of, frozen
from symbiont.inference.metrics import CacheMetrics


class Setting:
    def __init__(self, capacity: int, seconds: float = 10.0) -> None:
        self.now = 0.0
        self.prometheus = CollectorRegistry()
        self.store: Store[Any] = Store(capacity, seconds, CacheMetrics(self.prometheus), lambda: self.now)

    def counted(self, name: str, **labels: str) -> float | None:
        return self.prometheus.get_sample_value(f"symbiont_inference_cache_{name}", labels)


def key(number: int) -> bytes:
    return number.to_bytes(32, "little")


def test_the_least_recently_used_goes_first() -> None:
    setting = Setting(3 * (ENTRY_BYTES + 100))
    for number in range(3):
        setting.store.put(key(number), number, 100)
    assert setting.store.get(key(0)) == 0
    setting.store.put(key(3), 3, 100)
    assert [setting.store.get(key(number)) for number in range(4)] == [0, None, 2, 3]
    assert setting.counted("evictions_total", reason="room") == 1
    assert setting.counted("entries") == 3
    assert setting.counted("bytes") == setting.store.size == 3 * (ENTRY_BYTES + 100)


def test_entries_end() -> None:
    setting = Setting(1 << 20, seconds=10.0)
    setting.store.put(key(1), 1, 0)
    setting.now = 9.99
    assert setting.store.get(key(1)) == 1
    # Use does not make it younger.
    setting.now = 10.0
    assert setting.store.get(key(1)) is None
    assert (len(setting.store), setting.store.size) == (0, 0)
    assert setting.counted("evictions_total", reason="age") == 1


def test_what_is_larger_than_the_store_is_not_kept_and_drives_nothing_out() -> None:
    setting = Setting(ENTRY_BYTES + 100)
    setting.store.put(key(1), 1, 100)
    setting.store.put(key(2), 2, 101)
    assert (setting.store.get(key(1)), setting.store.get(key(2))) == (1, None)


def test_an_entry_that_is_replaced_is_counted_once() -> None:
    setting = Setting(1 << 20)
    setting.store.put(key(1), 1, 100)
    setting.store.put(key(1), 2, 50)
    assert (setting.store.get(key(1)), setting.store.size) == (2, ENTRY_BYTES + 50)


def test_whatever_is_put_the_bound_holds() -> None:
    setting, source = Setting(20_000), random.Random(0)
    for _ in range(2000):
        setting.store.put(key(source.randrange(100)), 0, source.randrange(6000))
        setting.store.get(key(source.randrange(100)))
        setting.now += source.random()
        assert 0 <= setting.store.size <= 20_000
        assert len(setting.store) <= 20_000 // ENTRY_BYTES


@pytest.mark.parametrize("values", [1, 6, 300, 4000])
def test_the_bytes_counted_are_the_bytes_used(values: int) -> None:
    """Within a seventh: a setting in MiB must mean the memory of the process."""
    setting = Setting(1 << 30)
    answers = np.arange(values, dtype=np.float32)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(2000):
            kept = frozen(answers)
            setting.store.put(key(number), kept, bytes_of(kept))
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert setting.store.size == pytest.approx(used, rel=0.15)


def test_what_is_handed_out_cannot_be_changed() -> None:
    given = np.array([1.0, 2.0], np.float32)
    kept = frozen(given)
    given[0] = 9.0
    assert (kept.tolist(), kept.dtype) == ([1.0, 2.0], np.float32)
    with pytest.raises(ValueError, match="read-only"):
        kept[0] = 9.0
    with pytest.raises(ValueError, match="cannot set WRITEABLE"):
        kept.flags.writeable = True
    with pytest.raises(ValueError, match="cannot set WRITEABLE"):
        kept[:].setflags(write=True)
