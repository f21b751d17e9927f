"""Reports on disk: in order, until they are dropped; a full disk loses none."""

import errno
import os
from pathlib import Path

import pytest

from support.sealed import keyring_of
from symbiont.common.encryption import Seals
from symbiont.training.spooling import HEADER, Spool, read_records


def test_first_in_first_out_until_dropped(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    for number in (1, 2, 5):
        spool.append(number, b"x" * number)
    assert spool.first_after(0) == (1, b"x")
    assert spool.first_after(2) == (5, b"xxxxx")
    assert spool.first_after(5) is None
    spool.drop(2)
    assert (len(spool), spool.first_after(0)) == (1, (5, b"xxxxx"))
    spool.drop(9)
    assert (tmp_path / "spool").stat().st_size == 0
    spool.append(6, b"again")
    assert read_records(tmp_path / "spool") == [b"again"]
    spool.close()


def test_encrypted_records_are_read_by_who_has_the_keys(tmp_path: Path) -> None:
    seals = Seals(keyring_of(tmp_path / "root", tmp_path / "key"), on=True)
    spool = Spool(tmp_path / "spool", seals, "acme")
    spool.append(1, b"a customer's label")
    assert spool.first_after(0) == (1, b"a customer's label")
    assert b"customer" not in (tmp_path / "spool").read_bytes()
    assert read_records(tmp_path / "spool", seals) == [b"a customer's label"]
    spool.close()


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_record_that_was_cut_short_is_left_out(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "spool"
    spool = Spool(path)
    spool.append(1, b"whole")
    spool.append(2, b"records")
    spool.close()
    path.write_bytes(path.read_bytes()[:-cut])
    assert read_records(path) == [b"whole"]


def test_nothing_left_is_nothing(tmp_path: Path) -> None:
    assert read_records(tmp_path / "none") == []
    (tmp_path / "zeros").write_bytes(HEADER.pack(0) * 3)
    assert read_records(tmp_path / "zeros") == []


def test_a_full_disk_loses_no_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path / "spool")
    spool.append(1, b"before")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        spool.append(2, b"while it is full")
    spool.append(3, b"after")
    assert [spool.first_after(n) for n in range(3)] == [(1, b"before"), (2, b"while it is full"), (3, b"after")]
    spool.close()
