from pathlib import Path

import pytest

from support.sealed import keyring_of
from symbiont.cli.app import app, main
from symbiont.common.encryption import MASTER_KEY_VARIABLE
from symbiont.common.errors import InvalidArgument, TenantShredded


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.delenv(MASTER_KEY_VARIABLE, raising=False)
    keyring = keyring_of(tmp_path / "root", tmp_path / "key")
    for tenant in ("", "acme", "globex"):
        keyring.newest(tenant)
    return ["--artifact-root", str(tmp_path / "root"), "--master-key", f"file:{tmp_path / 'key'}"]


def keys(*arguments: str) -> None:
    app(["keys", *arguments], standalone_mode=False)


def test_keys_are_rotated_shown_and_destroyed(
    where: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys("rotate", "--tenant", "acme", *where)
    keys("rotate", "--master", *where)
    keys("shred", "globex", "--yes", *where)
    capsys.readouterr()
    keys("list", *where)
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["(installation)", "1"] in shown
    assert ["acme", "1,", "2"] in shown
    assert ["globex", "destroyed"] in shown
    again = keyring_of(tmp_path / "root", tmp_path / "key")
    assert again.newest("acme")[0] == 2
    with pytest.raises(TenantShredded):
        again.newest("globex")


def test_shredding_also_takes_copies_of_the_keyring(where: list[str], tmp_path: Path) -> None:
    note = tmp_path / "root" / "keys" / "acme@1"
    copy = note.read_bytes()
    keys("shred", "acme", "--yes", *where)
    (note.parent / "acme@shredded").unlink()
    note.write_bytes(copy)
    with pytest.raises(Exception, match="has no version"):
        keyring_of(tmp_path / "root", tmp_path / "key").newest("acme")


@pytest.mark.parametrize(
    "arguments",
    [["rotate"], ["rotate", "--master", "--tenant", "acme"], ["shred", "nobody", "--yes"], ["shred", "", "--yes"]],
)
def test_what_cannot_be_done_is_refused_before_anything_is(where: list[str], arguments: list[str]) -> None:
    with pytest.raises(InvalidArgument, match="tenant"):
        keys(*arguments, *where)


def test_a_key_that_is_none_is_one_line(where: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["keys", "list", *where[:2], "--master-key", "elsewhere"])
    assert "vault:MOUNT/KEY" in " ".join(capsys.readouterr().err.split())
