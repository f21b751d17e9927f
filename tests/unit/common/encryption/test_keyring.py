from pathlib import Path

import pytest

from support.sealed import keyring_of
from symbiont.common.encryption import keyring as keyring_module
from symbiont.common.encryption.key_file import KeyFile
from symbiont.common.encryption.keyring import Keyring, TenantKeys
from symbiont.common.encryption.notes import FolderNotes
from symbiont.common.encryption.seals import Seals
from symbiont.common.errors import FailedPrecondition, IntegrityError, TenantShredded


@pytest.fixture
def keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keyring:
    # Every look is a new one.
    monkeypatch.setattr(keyring_module, "BELIEVED_S", 0.0)
    return keyring_of(tmp_path / "root", tmp_path / "key")


def again(tmp_path: Path) -> Keyring:
    """Returns the keyring as another process sees it."""
    return keyring_of(tmp_path / "root", tmp_path / "key")


def test_each_tenant_has_a_key_that_every_process_finds(keyring: Keyring, tmp_path: Path) -> None:
    keys = {tenant: keyring.newest(tenant) for tenant in ("", "acme", "globex")}
    assert len({key for _, key in keys.values()}) == 3
    assert {tenant: again(tmp_path).newest(tenant) for tenant in keys} == keys
    stored = b"".join(file.read_bytes() for file in (tmp_path / "root").rglob("*") if file.is_file())
    assert not any(key in stored for _, key in keys.values())


def test_names_of_tenants_never_lead_out_of_the_folder(keyring: Keyring, tmp_path: Path) -> None:
    for tenant in ("../..", ".hidden", "a/b", "a@b", "名"):
        version, key = keyring.newest(tenant)
        assert again(tmp_path).key(tenant, version) == key
    assert {keys.tenant for keys in keyring.tenants()} == {"../..", ".hidden", "a/b", "a@b", "名"}
    assert {path.parent for path in (tmp_path / "root").rglob("*") if path.is_file()} == {tmp_path / "root" / "keys"}


def test_a_new_version_encrypts_and_the_old_one_stays(keyring: Keyring, tmp_path: Path) -> None:
    first = keyring.newest("acme")
    assert keyring.rotate("acme") == 2
    assert keyring.newest("acme")[0] == 2
    assert again(tmp_path).key("acme", 1) == first[1]
    assert keyring.tenants() == [TenantKeys("acme", (1, 2), shredded=False)]


def test_the_blind_of_a_tenant_stays_when_its_key_is_rotated(keyring: Keyring) -> None:
    before = keyring.blind("acme")
    keyring.rotate("acme")
    assert keyring.blind("acme") == before != keyring.blind("globex")


def test_a_new_master_key_rewraps_and_the_old_one_opens_nothing(keyring: Keyring, tmp_path: Path) -> None:
    keys = {tenant: keyring.newest(tenant) for tenant in ("", "acme")}
    old = (tmp_path / "key").read_bytes()
    wrapped = {file.name: file.read_bytes() for file in (tmp_path / "root" / "keys").iterdir()}
    assert keyring.rotate_master() == 2
    assert {tenant: again(tmp_path).newest(tenant) for tenant in keys} == keys
    assert all((tmp_path / "root" / "keys" / name).read_bytes() != content for name, content in wrapped.items())
    (tmp_path / "key").write_bytes(old)
    with pytest.raises(FailedPrecondition, match="put back the file"):
        again(tmp_path).newest("acme")


def test_a_process_that_met_the_rotation_halfway_looks_again(keyring: Keyring, tmp_path: Path) -> None:
    key = keyring.newest("acme")
    notes = FolderNotes(tmp_path / "root" / "keys")
    stale = notes.read("acme@1")
    keyring.rotate_master()

    class Late(FolderNotes):
        def __init__(self, folder: Path) -> None:
            super().__init__(folder)
            self.late = [stale]

        def read(self, name: str) -> bytes | None:
            return self.late.pop() if self.late else super().read(name)

    assert Keyring(Late(tmp_path / "root" / "keys"), KeyFile(tmp_path / "key")).newest("acme") == key


def test_shredding_destroys_the_keys_of_one_tenant_in_every_process(keyring: Keyring, tmp_path: Path) -> None:
    other = again(tmp_path)
    other.newest("acme")
    globex = other.newest("globex")
    keyring.rotate("acme")
    assert keyring.shred("acme") == 2
    for each in (keyring, other, again(tmp_path)):
        with pytest.raises(TenantShredded, match="acme"):
            each.newest("acme")
        with pytest.raises(TenantShredded):
            each.key("acme", 1)
        assert each.newest("globex") == globex
    assert TenantKeys("acme", (), shredded=True) in keyring.tenants()


def test_a_key_that_the_keyring_lacks_is_named(keyring: Keyring) -> None:
    keyring.newest("acme")
    with pytest.raises(FailedPrecondition, match="version 7 of the key of tenant acme"):
        keyring.key("acme", 7)


def test_of_two_that_make_the_first_key_one_is_taken_by_both(keyring: Keyring, tmp_path: Path) -> None:
    other = again(tmp_path)
    # Both have looked before there was any.
    assert other.tenants() == keyring.tenants() == []
    assert keyring.newest("acme") == other.newest("acme")


def test_a_wrapped_key_in_the_place_of_another_is_found(keyring: Keyring, tmp_path: Path) -> None:
    keyring.newest("acme"), keyring.newest("globex")
    notes = FolderNotes(tmp_path / "root" / "keys")
    notes.replace("acme@1", notes.read("globex@1") or b"")
    with pytest.raises(IntegrityError):
        again(tmp_path).newest("acme")


def test_texts_are_opened_by_their_tenants_key_alone(keyring: Keyring) -> None:
    seals = Seals(keyring, on=True)
    sealed = seals.seal("Über uns".encode(), "acme:1")
    assert "Über" not in sealed
    assert seals.unseal(sealed).decode() == "Über uns"
    with pytest.raises(IntegrityError):
        seals.unseal(sealed[:-4] + "AAAA")
    keyring.shred("acme:1")
    with pytest.raises(TenantShredded):
        seals.unseal(sealed)
