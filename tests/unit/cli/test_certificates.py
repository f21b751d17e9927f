"""`symbiont certificates`: files for a caller, and the line that says what it may be."""

import tomllib
from pathlib import Path

import pytest
from cryptography import x509
from typer.testing import CliRunner

from symbiont.cli.app import app
from symbiont.cli.app import main as run_main
from symbiont.common.errors import InvalidArgument
from symbiont.common.principal import Role
from symbiont.common.security.identity import read_roles
from symbiont.common.security.suite import SuiteCertificates

RUN = CliRunner()


def test_a_caller_gets_files_and_roles(tmp_path: Path) -> None:
    folder, to = tmp_path / "tls", tmp_path / "billing"
    assert RUN.invoke(app, ["certificates", "suite", str(folder), "--host", "symbiont.example"]).exit_code == 0
    how = ["--tenant", "acme", "--role", "caller", "--days", "7", "--to", str(to), "--folder", str(folder)]
    shown = RUN.invoke(app, ["certificates", "issue", "billing", *how])
    assert shown.exit_code == 0, shown.output
    identity = "spiffe://symbiont/tenant/acme/billing"
    assert identity in shown.output
    assert {path.name for path in to.iterdir()} == {"ca.pem", "certificate.pem", "key.pem"}
    made = x509.load_pem_x509_certificate((to / "certificate.pem").read_bytes())
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [identity]
    assert (made.not_valid_after_utc - made.not_valid_before_utc).days == 7
    roles = tomllib.loads((folder / "identities.toml").read_text())
    assert roles == {"spiffe://symbiont/client/local": ["all"], identity: ["caller"]}
    listed = RUN.invoke(app, ["certificates", "list", "--folder", str(folder)])
    assert {"authority", "tokenization", "training", "inference", "triton", "worker", "client"} <= set(
        listed.output.split()
    )


def test_a_certificate_that_is_issued_again_has_the_roles_that_were_given_last(tmp_path: Path) -> None:
    suite = SuiteCertificates(tmp_path)
    suite.prepare()
    for role in ("caller", "trainer"):
        how = ["--tenant", "acme", "--role", role, "--to", str(tmp_path / "billing"), "--folder", str(tmp_path)]
        assert RUN.invoke(app, ["certificates", "issue", "billing", *how]).exit_code == 0
    identity = "spiffe://symbiont/tenant/acme/billing"
    assert read_roles(suite.identities)[identity] == {Role.TRAINER}
    by_hand = suite.identities.read_text().replace('["trainer"]', '[\n  "trainer",\n]')
    suite.identities.write_text(by_hand)
    with pytest.raises(InvalidArgument, match="several lines"):
        suite.add_roles(identity, ["caller"])
    assert suite.identities.read_text() == by_hand


def test_the_client_that_may_all_is_no_part_of_the_suite(tmp_path: Path) -> None:
    SuiteCertificates(tmp_path).prepare()
    (roles,) = read_roles(tmp_path / "identities.toml").values()
    assert roles == frozenset(Role) - {Role.SERVICE, Role.WORKER}


def test_parts_are_called_by_the_hosts_that_were_named(tmp_path: Path) -> None:
    RUN.invoke(app, ["certificates", "suite", str(tmp_path), "--host", "symbiont.example", "--host", "10.1.2.3"])
    made = x509.load_pem_x509_certificate((tmp_path / "training/certificate.pem").read_bytes())
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"training", "localhost", "symbiont.example"} == set(names.get_values_for_type(x509.DNSName))
    assert "10.1.2.3" in map(str, names.get_values_for_type(x509.IPAddress))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["list"], "has no authority"), (["issue", "a/b", "--to", "x"], "has no authority")],
)
def test_without_an_authority(
    tmp_path: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run_main(["certificates", *arguments, "--home", str(tmp_path)])
    assert told in capsys.readouterr().err.replace("\n", "")
