"""Files of certificates, as they change."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from symbiont.client import Credentials
from symbiont.common.errors import FailedPrecondition, InvalidArgument
from symbiont.common.security.authority import Authority
from symbiont.common.security.files import Renewed, Tls
from symbiont.common.security.identity import identity_of, read_roles
from symbiont.common.security.suite import PARTS, SuiteCertificates, client_tls

CALLER = identity_of("symbiont", "client", "x")


def test_new_files_are_read_once_they_fit_together(tmp_path: Path) -> None:
    now = [0.0]
    authority = Authority(tmp_path / "authority")
    tls = authority.issue(tmp_path / "own", CALLER)
    files = Renewed(tls, lambda: now[0])
    first = files.now()
    other = authority.issue(tmp_path / "other", CALLER, days=7)
    assert tls.key
    assert other.key
    assert tls.certificate
    assert other.certificate
    other.key.replace(tls.key)
    now[0] = 2
    # The key is the new one, the certificate is not: what is known is good.
    assert files.now() is first
    other.certificate.replace(tls.certificate)
    assert files.now() is first
    now[0] = 4
    assert files.now() is not first
    assert files.now().not_after < first.not_after
    tls.certificate.unlink()
    now[0] = 6
    assert files.now().not_after < first.not_after


def test_what_is_no_certificate_is_told_by_name(tmp_path: Path) -> None:
    tls = Authority(tmp_path / "authority").issue(tmp_path / "own", CALLER)
    stranger = Authority(tmp_path / "stranger").issue(tmp_path / "else", CALLER)
    with pytest.raises(FailedPrecondition, match="the key is not that of the certificate"):
        Renewed(Tls(tls.ca, tls.certificate, stranger.key))
    with pytest.raises(FailedPrecondition, match="absent cannot be read"):
        Renewed(Tls(tmp_path / "absent"))
    (tmp_path / "text").write_text("no PEM")
    with pytest.raises(FailedPrecondition, match="text are no certificates"):
        Renewed(Tls(tmp_path / "text"))


def test_a_suite_has_certificates_that_only_its_user_reads(tmp_path: Path) -> None:
    made = SuiteCertificates(tmp_path)
    assert set(made.prepare()) == {*PARTS, "client"}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert made.prepare() == []


def test_certificates_near_their_end_are_made_anew(tmp_path: Path) -> None:
    made = SuiteCertificates(tmp_path)
    made.prepare()
    later = datetime.now(UTC) + timedelta(days=300)
    # Triton's lasts for years, because it reads it but once.
    assert set(made.prepare(now=later)) == {*PARTS, "client"} - {"triton"}
    assert made.prepare(now=later) == []
    # Those of another authority are nothing here.
    (tmp_path / "authority/key.pem").unlink()
    assert set(made.prepare()) == {*PARTS, "client"}


def test_a_client_finds_what_the_environment_or_the_home_has(tmp_path: Path) -> None:
    SuiteCertificates(tmp_path / "tls").prepare()
    assert Credentials.find(tmp_path, {}).tls == client_tls(tmp_path)
    assert Credentials.find(None, {"SYMBIONT_HOME": str(tmp_path)}).tls == client_tls(tmp_path)
    assert Credentials.find(None, {"SYMBIONT_HOME": str(tmp_path), "SYMBIONT_INSECURE": "true"}).tls is None
    named = {"SYMBIONT_TLS_CA": "/ca.pem", "SYMBIONT_TOKEN_FILE": str(tmp_path / "token")}
    found = Credentials.find(tmp_path, named)
    assert found.tls == Tls(Path("/ca.pem"))
    (tmp_path / "token").write_text("one\n")
    assert found.token
    assert found.token() == "one"
    (tmp_path / "token").write_text("another")
    os.utime(tmp_path / "token", (1, 1))
    assert found.token() == "another"
    SuiteCertificates(tmp_path / "tls").forget_client()
    assert Credentials.find(tmp_path, {}) == Credentials()
    with pytest.raises(ValueError, match="by TLS alone"):
        Credentials(None, lambda: "x")


@pytest.mark.parametrize("path", [("service",), ("tenant", "acme"), ("tenant", "", "x"), ("client", "a/b"), ("x", "y")])
def test_what_is_no_identity(path: tuple[str, ...]) -> None:
    with pytest.raises(InvalidArgument, match="service/NAME"):
        identity_of("symbiont", *path)


@pytest.mark.parametrize("text", ["no = toml = at all", '"x" = "caller"', '"x" = ["cook"]'])
def test_roles_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "identities.toml").write_text(text)
    with pytest.raises(InvalidArgument, match="lists of all, viewer"):
        read_roles(tmp_path / "identities.toml")
