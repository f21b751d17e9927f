"""The master key in a real server of Vault's API: the keys of tenants are wrapped there, and nowhere else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.openbao import TOKEN, open_bao
from symbiont.common.artifacts import ArtifactStore, open_keyring
from symbiont.common.encryption import Keyring, Seals, keyring
from symbiont.common.errors import FailedPrecondition, IntegrityError, TenantShredded, Unavailable

KEY = "vault:transit/symbiont"
TEXT = b"a customer's text"


@pytest.fixture
def bao(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with open_bao(tmp_path) as client:
        client.secrets.transit.create_key("symbiont")
        monkeypatch.setenv("VAULT_ADDR", client.url)
        monkeypatch.setenv("VAULT_TOKEN", TOKEN)
        monkeypatch.setattr(keyring, "BELIEVED_S", 0.0)
        yield client


def opened(root: Path) -> tuple[ArtifactStore, Keyring]:
    """Opens a root as a new process does."""
    keys = open_keyring(root, KEY)
    return ArtifactStore(root, tenant="acme", seals=Seals(keys, on=True)), keys


def test_keys_live_and_die_by_the_key_in_vault(bao: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, keys = opened(tmp_path / "root")
    digest = store.put("datasets", {"rows": TEXT}, {})
    other = store.beside(tmp_path / "root")
    other._tenant = "globex"
    kept = other.put("datasets", {"rows": TEXT}, {})
    note = tmp_path / "root" / "keys" / "acme@1"
    assert note.read_text().startswith("vault:v1:")
    before = note.read_text()

    assert keys.rotate_master() == 2
    assert note.read_text().startswith("vault:v2:")
    assert opened(tmp_path / "root")[0].read("datasets", digest, "rows") == TEXT
    # What the old version has wrapped, nobody unwraps any more.
    note.write_text(before)
    with pytest.raises(IntegrityError):
        opened(tmp_path / "root")[0].read("datasets", digest, "rows")

    keys.shred("acme")
    with pytest.raises(TenantShredded):
        opened(tmp_path / "root")[0].read("datasets", digest, "rows")
    assert opened(tmp_path / "root")[0].read("datasets", kept, "rows") == TEXT


def test_what_vault_refuses_says_what_to_do(bao: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, _ = opened(tmp_path / "root")
    digest = store.put("datasets", {"rows": TEXT}, {})
    monkeypatch.setenv("VAULT_TOKEN", "of-nobody")
    with pytest.raises(FailedPrecondition, match="VAULT_TOKEN"):
        opened(tmp_path / "root")[0].read("datasets", digest, "rows")
    monkeypatch.setenv("VAULT_TOKEN", TOKEN)
    bao.secrets.transit.update_key_configuration("symbiont", deletion_allowed=True)
    bao.secrets.transit.delete_key("symbiont")
    with pytest.raises((IntegrityError, FailedPrecondition), match="transit/symbiont"):
        opened(tmp_path / "root")[0].read("datasets", digest, "rows")


def test_a_vault_that_is_away_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_ADDR", "http://127.0.0.1:9")
    monkeypatch.setenv("VAULT_TOKEN", TOKEN)
    with pytest.raises(Unavailable, match="does not answer"):
        opened(tmp_path / "root")[0].put("datasets", {"rows": TEXT}, {})
