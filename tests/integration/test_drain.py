"""A rolling restart of one of each two processes under load: no call fails. `make drain` has both, and many calls."""

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
async def test_no_call_fails_while_a_process_of_each_kind_is_restarted(tmp_path: Path, url: str) -> None:
    calls = await drain(tmp_path, url, least_calls=200, one_of_two=True, pause_s=0.02)
    assert calls.failed == {}
    assert calls.answered.keys() == {"Predict", "Tokenize", "GetModel"}
    assert calls.count >= 200
