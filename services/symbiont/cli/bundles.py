"""`symbiont bundles`: who vouches for what hosts load."""

from pathlib import Path
from typing import Annotated

import typer

from symbiont.cli.console import make_console
from symbiont.cli.render import table
from symbiont.cli.target import DEFAULT_HOME_PATH, HomeOption
from symbiont.common.artifacts import ArtifactStore, SigningKey, Trust
from symbiont.common.artifacts.signatures import read_keys
from symbiont.common.errors import IntegrityError, InvalidArgument
from symbiont.local.home import Home
from symbiont.local.signing import key_file, trusted_file

app = typer.Typer(
    no_args_is_help=True,
    help="Bundles: signed with a key, and read only when a trusted key has signed them. No service need run.",
)

Digests = Annotated[list[str] | None, typer.Argument(help="Digests of bundles, as `symbiont models show` has them.")]
All = Annotated[bool, typer.Option("--all", help="Every bundle of the store.")]
Root = Annotated[
    str,
    typer.Option(
        "--artifact-root",
        envvar="SYMBIONT_ARTIFACT_ROOT",
        help="Folder of the artifact store, or s3://bucket/prefix. Default: that of the home.",
        show_default=False,
    ),
]


@app.command()
def key(
    file: Annotated[Path, typer.Argument(help="Where the private key goes; a file that exists is not touched.")],
    tenant: Annotated[str, typer.Option(help="Whom the key speaks for. Default: everybody, as the installation.")] = "",
) -> None:
    """Makes a key, and prints the line that has services trust it.

    The private key signs (training: --signing-key, or `symbiont bundles sign`) and can stay on a machine of its own.
    The line goes into the file that --trusted-keys of training and inference names. To replace a key, add the line of
    the new one, sign with it (`sign --all`), and take the old line out at the next restart.

    Example: symbiont bundles key acme.pem --tenant acme
    """
    try:
        made = SigningKey.make(file)
    except FileExistsError:
        raise InvalidArgument("file", f"{file} exists; a key is never written over") from None
    print(made.line(tenant))


@app.command()
def sign(
    digests: Digests = None,
    every: All = False,
    key: Annotated[
        Path | None, typer.Option(help="Private key. Default: that of the home.", show_default=False)
    ] = None,
    artifact_root: Root = "",
    home: HomeOption = DEFAULT_HOME_PATH,
) -> None:
    """Signs bundles: those of releases before there were signatures, imported ones, and after a key was replaced.

    A signature says that you vouch for the bytes: look where a bundle comes from before you sign it.

    Example: symbiont bundles sign --all --key signing.pem --artifact-root s3://models/symbiont
    """
    signing = SigningKey.read(key or key_file(Home(home.absolute())))
    store = _store(artifact_root, home)
    chosen = _chosen(store, digests, every)
    for digest in chosen:
        store.sign(digest, signing)
    make_console().print(f"signed {len(chosen)} with key {signing.id}")


@app.command()
def verify(
    digests: Digests = None,
    every: All = False,
    trusted_keys: Annotated[
        Path | None,
        typer.Option(envvar="SYMBIONT_TRUSTED_KEYS", help="File of keys. Default: the home's.", show_default=False),
    ] = None,
    artifact_root: Root = "",
    home: HomeOption = DEFAULT_HOME_PATH,
) -> None:
    """Says of each bundle who has signed it, and whether its files are what was signed; exits with 1 if one fails.

    Example: symbiont bundles verify --all
    """
    trust = Trust.parse(read_keys(trusted_keys or trusted_file(Home(home.absolute()))), required=True)
    store = _store(artifact_root, home, trust)
    rows, failed = [], 0
    for digest in _chosen(store, digests, every):
        try:
            store.path("bundles", digest)
            signers = ", ".join(tenant or "this installation" for tenant in sorted(store.signers(digest)))
            rows.append((digest, signers, "whole"))
        except IntegrityError as exc:
            failed += 1
            rows.append((digest, "", str(exc).removeprefix(f"bundles/{digest}: ")))
    make_console().print(table(["BUNDLE", "SIGNED BY", "STATE"], rows))
    if failed:
        raise typer.Exit(1)


def _store(artifact_root: str, home: Path, trust: Trust | None = None) -> ArtifactStore:
    return ArtifactStore(artifact_root or Home(home.absolute()).artifact_root, trust=trust)


def _chosen(store: ArtifactStore, digests: list[str] | None, every: bool) -> list[str]:
    if bool(digests) == every:
        raise InvalidArgument("digests", "name bundles, or take --all")
    return store.list("bundles") if every else list(digests or ())
