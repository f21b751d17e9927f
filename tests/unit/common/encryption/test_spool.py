import hashlib
from pathlib import Path

import pytest

from symbiont.common.encryption import Spool

TEXT = b"a customer's text\n" * 10_000


@pytest.mark.parametrize("sealed", [True, False])
def test_what_was_written_is_read_as_often_as_need_be(tmp_path: Path, sealed: bool) -> None:
    spool = Spool(tmp_path / "spool", sealed=sealed)
    spool.write(TEXT)
    spool.write(memoryview(b"end"))
    for _ in range(2):
        with spool.open() as stream:
            assert stream.read() == TEXT + b"end"
    assert (spool.size, spool.sha256) == (len(TEXT) + 3, hashlib.sha256(TEXT + b"end").hexdigest())
    assert (b"customer" in (tmp_path / "spool").read_bytes()) is not sealed


def test_nothing_is_left_of_the_text_after_a_kill(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", sealed=True)
    spool.write(TEXT)
    # Not closed: as the process would leave it.
    left = (tmp_path / "spool").read_bytes()
    spool.close()
    assert len(left) > len(TEXT) / 2
    assert b"customer" not in left
