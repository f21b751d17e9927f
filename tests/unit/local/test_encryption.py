import stat
from pathlib import Path

import pytest

from symbiont.common.encryption import ENCRYPTION_VARIABLE, MASTER_KEY_VARIABLE
from symbiont.common.errors import FailedPrecondition
from symbiont.local.encryption import encryption_variables, open_artifacts
from symbiont.local.home import Home


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (ENCRYPTION_VARIABLE, MASTER_KEY_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def test_the_first_start_makes_a_key_and_the_next_one_keeps_it(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    told = encryption_variables(home)
    assert told == {ENCRYPTION_VARIABLE: "on", MASTER_KEY_VARIABLE: f"file:{home.master_key}"}
    key = home.master_key.read_bytes()
    assert stat.S_IMODE(home.master_key.stat().st_mode) == 0o600
    assert encryption_variables(home) == told
    assert home.master_key.read_bytes() == key


def test_a_key_that_is_gone_is_not_replaced(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    encryption_variables(home)
    open_artifacts(home).put("datasets", {"rows": b"x"}, {})
    home.master_key.unlink()
    with pytest.raises(FailedPrecondition, match="put the file back"):
        encryption_variables(home)
    assert not home.master_key.exists()


def test_the_environment_may_switch_it_off_and_what_is_encrypted_is_still_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENCRYPTION_VARIABLE, "off")
    home = Home(tmp_path / "home")
    assert encryption_variables(home) == {ENCRYPTION_VARIABLE: "off"}
    assert not home.master_key.exists()
    monkeypatch.setenv(ENCRYPTION_VARIABLE, "on")
    encryption_variables(home)
    monkeypatch.setenv(ENCRYPTION_VARIABLE, "off")
    assert encryption_variables(home)[MASTER_KEY_VARIABLE] == f"file:{home.master_key}"


def test_the_environment_may_name_another_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MASTER_KEY_VARIABLE, "vault:transit/symbiont")
    home = Home(tmp_path / "home")
    assert encryption_variables(home)[MASTER_KEY_VARIABLE] == "vault:transit/symbiont"
    assert not home.master_key.exists()
