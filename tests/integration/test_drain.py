"""A rolling restart of everything under load: no call fails. `make drain` has ten thousand calls."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from observe.drain import drain
from support.postgres import postgres


@pytest.fixture
def url() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.mark.timeout(600)
async def test_no_call_fails_while_every_process_is_restarted(tmp_path: Path, url: str) -> None:
    calls = await drain(tmp_path, url, least_calls=200)
    assert calls.failed == {}
    assert calls.answered.keys() == {"Predict", "Tokenize", "GetModel"}
    assert calls.count >= 200
