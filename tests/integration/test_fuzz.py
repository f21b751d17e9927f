"""Three thousand inputs by chance, of the million that `make fuzz` runs: none surprises a service or a reader."""

import asyncio
from pathlib import Path

import pytest

from fuzz import calls, files

CALLS, FILES = 2_400, 600


@pytest.mark.timeout(900)
def test_no_message_surprises_a_service(tmp_path: Path) -> None:
    with calls.services(tmp_path) as running:
        warmed = asyncio.run(calls.ask(running, CALLS // 4, 1))
        before = running.memory()
        found = asyncio.run(calls.ask(running, CALLS - CALLS // 4, 2))
        assert running.alive() == list(running.processes)
        assert running.surprises() == []
        grown = {name: size - before[name] for name, size in running.memory().items()}
    assert warmed.bad + found.bad == []
    assert max(grown.values()) < calls.MOST_GROWTH, grown
    # They get beyond the first check, and beyond all of them.
    assert found.codes["OK"] > CALLS // 20
    assert found.codes["INVALID_ARGUMENT"] > CALLS // 20


@pytest.mark.timeout(900)
def test_no_file_surprises_a_reader(tmp_path: Path) -> None:
    targets = files.make_targets(tmp_path)
    found = files.run(targets, FILES, 1)
    assert found.bad == []
    assert {name for name in targets if found.ends[f"{name}: refused"]} == set(targets)
