"""`symbiont certificates`: who may call the suite, where its own authority says so."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509

from symbiont.cli.console import make_console
from symbiont.cli.render import table
from symbiont.cli.target import DEFAULT_HOME_PATH, HomeOption
from symbiont.common.errors import FailedPrecondition
from symbiont.common.principal import Role
from symbiont.common.security.authority import DAYS, Authority
from symbiont.common.security.identity import identity_of
from symbiont.common.security.suite import FOLDER, TRUST_DOMAIN, SuiteCertificates

app = typer.Typer(
    help="Makes the certificates by which parts and callers know each other, and lists them.\n\n"
    "They are files in the home's folder tls. A certificate says who somebody is; what they may be stands in its file "
    "identities.toml, which the services read again when it changes.",
    no_args_is_help=True,
)

FolderOption = Annotated[
    Path | None,
    typer.Option("--folder", help="Folder with the authority. Default: tls in the home.", show_default=False),
]


@app.command()
def issue(
    name: Annotated[str, typer.Argument(help="Name of the caller: billing.")],
    to: Annotated[Path, typer.Option("--to", help="Folder that gets ca.pem, certificate.pem and key.pem.")],
    tenant: Annotated[str, typer.Option(help="Tenant that it belongs to. Default: the installation itself.")] = "",
    role: Annotated[list[Role] | None, typer.Option(help="What it may be; may be repeated.")] = None,
    days: Annotated[float, typer.Option(min=0.01, help="How long the certificate lasts.")] = DAYS,
    folder: FolderOption = None,
    home: HomeOption = DEFAULT_HOME_PATH,
) -> None:
    """Makes a caller's certificate, and notes its roles.

    The caller names the files by SYMBIONT_TLS_CA, SYMBIONT_TLS_CERTIFICATE and SYMBIONT_TLS_KEY.
    """
    suite = _suite(folder, home)
    identity = identity_of(TRUST_DOMAIN, *(("tenant", tenant, name) if tenant else ("client", name)))
    Authority(suite.folder / "authority").issue(to, identity, days=days)
    if role:
        suite.add_roles(identity, role)
    make_console().print(f"{identity}: {to}", markup=False, soft_wrap=True)


@app.command()
def suite(
    folder: Annotated[Path, typer.Argument(help="Folder that gets a folder for each part.")],
    host: Annotated[list[str] | None, typer.Option(help="Name or address of the parts; may be repeated.")] = None,
) -> None:
    """Makes what is missing or near its end of a suite's certificates: each part's, and a client's that may do all."""
    for name in SuiteCertificates(folder).prepare(host or ()):
        make_console().print(f"{name}: {folder / name}", markup=False, soft_wrap=True)


@app.command("list")
def list_certificates(folder: FolderOption = None, home: HomeOption = DEFAULT_HOME_PATH) -> None:
    """Lists the certificates in the folder, and when they end."""
    found = sorted(_suite(folder, home).folder.glob("*/c*.pem"))
    rows = []
    for path in found:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        left = certificate.not_valid_after_utc - datetime.now(UTC)
        if path.name == "certificate.pem" or path.parent.name == "authority":
            rows.append((path.parent.name, f"{certificate.not_valid_after_utc:%Y-%m-%d}", left.days, str(path.parent)))
    make_console().print(table(["CERTIFICATE", "ENDS", ">DAYS", "FOLDER"], rows))


def _suite(folder: Path | None, home: Path) -> SuiteCertificates:
    found = SuiteCertificates(folder or home.absolute() / FOLDER)
    if not (found.folder / "authority").is_dir():
        raise FailedPrecondition(
            f"{found.folder} has no authority: symbiont up makes one in its home, symbiont certificates suite elsewhere"
        )
    return found
