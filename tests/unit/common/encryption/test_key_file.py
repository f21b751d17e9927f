import stat
from pathlib import Path

import pytest

from symbiont.common.encryption.key_file import KeyFile
from symbiont.common.encryption.master import open_master
from symbiont.common.errors import FailedPrecondition, IntegrityError, InvalidArgument

KEY = bytes(range(32))


def test_it_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "new" / "key"
    assert KeyFile(file).make()
    content = file.read_bytes()
    assert not KeyFile(file).make()
    assert file.read_bytes() == content
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_it_wraps_for_a_context(tmp_path: Path) -> None:
    KeyFile(tmp_path / "key").make()
    master = open_master(f"file:{tmp_path / 'key'}")
    wrapped = master.wrap(KEY, b"acme/1")
    assert master.unwrap(wrapped, b"acme/1") == KEY
    with pytest.raises(IntegrityError):
        master.unwrap(wrapped, b"globex/1")
    with pytest.raises(IntegrityError):
        master.unwrap(wrapped[:-3] + "!!!", b"acme/1")


def test_versions_before_unwrap_until_they_are_retired(tmp_path: Path) -> None:
    master = KeyFile(tmp_path / "key")
    master.make()
    old = master.wrap(KEY, b"")
    master.rotate()
    new = master.wrap(KEY, b"")
    assert master.unwrap(old, b"") == master.unwrap(new, b"") == KEY
    master.retire()
    assert master.unwrap(new, b"") == KEY
    with pytest.raises(FailedPrecondition, match="put back the file"):
        master.unwrap(old, b"")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("content", "mode", "problem"),
    [("", 0o600, "holds no master key"), ("a b", 0o600, "holds no master key"), ("x", 0o644, "chmod 600")],
)
def test_a_file_that_is_none_says_what_to_do(tmp_path: Path, content: str, mode: int, problem: str) -> None:
    file = tmp_path / "key"
    file.write_text(content)
    file.chmod(mode)
    with pytest.raises(FailedPrecondition, match=problem):
        KeyFile(file).wrap(KEY, b"")


def test_a_file_that_is_gone_says_so(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="put the file back"):
        KeyFile(tmp_path / "key").wrap(KEY, b"")


@pytest.mark.parametrize("text", ["", "file:", "vault:key", "kms:x/y", "/a/path"])
def test_what_names_no_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="master_key"):
        open_master(text)
