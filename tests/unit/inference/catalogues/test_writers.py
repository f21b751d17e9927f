"""Writers of a catalogue wait for each other, and nobody waits for them."""

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import pytest

from symbiont.inference.catalogues.change import SizeLimits
from symbiont.inference.catalogues.types import CatalogueVersion
from symbiont.inference.catalogues.versions import Versions
from symbiont.inference.catalogues.writers import Writers

from .conftest import make_change, real_like

Create = Callable[..., CatalogueVersion]
Write = asyncio.Task[tuple[CatalogueVersion, int]]
LIMITS = SizeLimits(100, 100)
# More than there are threads for what the loop has done elsewhere.
MANY = min(32, (os.cpu_count() or 1) + 4) + 1


class Held:
    """Holds up whoever stores a version, and notes how many did at a time."""

    def __init__(self, put: Callable[..., str]) -> None:
        self.go_on = threading.Event()
        self.entered = threading.Event()
        self.puts = self.most = self._now = 0
        self._put = put
        self.go_on.set()

    def hold(self) -> None:
        """Begins to."""
        self.go_on.clear()
        self.entered.clear()
        self.puts = self.most = 0

    def __call__(self, *given: Any) -> str:
        self._now += 1
        self.puts += 1
        self.most = max(self.most, self._now)
        self.entered.set()
        self.go_on.wait(10)
        self._now -= 1
        return self._put(*given)


@pytest.fixture
def held(versions: Versions, monkeypatch: pytest.MonkeyPatch) -> Held:
    found = Held(versions.store.put)
    monkeypatch.setattr(versions.store, "put", found)
    return found


def writes(versions: Versions, count: int, catalogues: Sequence[str] = ("faq",)) -> list[Write]:
    writers = Writers(versions, LIMITS)
    changes = [make_change([f"e{number}"], real_like(1, 4, number)) for number in range(count)]
    return [
        asyncio.create_task(writers.commit(name, change))
        for name, change in zip(cycle(catalogues), changes, strict=False)
    ]


@pytest.mark.parametrize("catalogues", [["faq"], [f"faq{number}" for number in range(MANY)]], ids=["one", "many"])
async def test_writers_take_no_thread_that_others_need(
    versions: Versions, create: Create, held: Held, catalogues: Sequence[str]
) -> None:
    for name in catalogues:
        create(name)
    held.hold()
    tasks = writes(versions, MANY, catalogues)
    await asyncio.to_thread(held.entered.wait, 10)
    assert await asyncio.wait_for(asyncio.to_thread(lambda: "searched"), 5) == "searched"
    assert not any(task.done() for task in tasks)
    held.go_on.set()
    await asyncio.gather(*tasks)
    assert (held.puts, sum(versions.current(name).entries for name in catalogues)) == (MANY, MANY)
    assert held.most <= len(catalogues)


async def test_a_caller_that_goes_away_gives_its_turn_to_the_next_when_the_writing_is_done(
    versions: Versions, create: Create, held: Held
) -> None:
    create()
    held.hold()
    writing, waiting, last = writes(versions, 3)
    await asyncio.to_thread(held.entered.wait, 10)
    writing.cancel()
    waiting.cancel()
    await asyncio.gather(writing, waiting, return_exceptions=True)
    assert held.puts == 1
    held.go_on.set()
    await last
    assert (held.most, versions.open(versions.current("faq")).ids) == (1, ["e0", "e2"])
