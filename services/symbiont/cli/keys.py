"""`symbiont keys`: the keys that what is stored is encrypted with."""

from pathlib import Path
from typing import Annotated

import typer

from symbiont.cli.console import make_console
from symbiont.cli.render import table
from symbiont.cli.target import DEFAULT_HOME_PATH, HomeOption
from symbiont.common.artifacts import open_keyring
from symbiont.common.encryption import MASTER_KEY_VARIABLE, Keyring
from symbiont.common.errors import InvalidArgument
from symbiont.local.encryption import master_key_of
from symbiont.local.home import Home

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="""Shows, rotates and destroys the keys that what is stored is encrypted with.

A master key wraps a key of each tenant, and that one a random key of each file. The commands work on the keyring, which
lies beside the artifacts, whether the suite runs or not: whoever has the master key may do all of it. What is not a
tenant's is the installation's; it is shown as (installation).

Processes that run believe for five seconds what they know of keys. What they hold in memory by then, as bundles that
serve, they hold until they are restarted.
""",
)

ArtifactRootOption = Annotated[
    str,
    typer.Option(
        "--artifact-root",
        envvar="SYMBIONT_ARTIFACT_ROOT",
        help="Folder of the artifact store, or s3://bucket/prefix. Default: that of the home.",
        show_default=False,
        rich_help_panel="Where",
    ),
]
MasterKeyOption = Annotated[
    str,
    typer.Option(
        "--master-key",
        envvar=MASTER_KEY_VARIABLE,
        help="file:PATH, or vault:MOUNT/KEY with VAULT_ADDR and VAULT_TOKEN. Default: the file of the home.",
        show_default=False,
        rich_help_panel="Where",
    ),
]


@app.command("list")
def show(
    home: HomeOption = DEFAULT_HOME_PATH, artifact_root: ArtifactRootOption = "", master_key: MasterKeyOption = ""
) -> None:
    """Shows which keys each tenant has; the last version encrypts what is written, the others what was written before.

    Example: symbiont keys list
    """
    keyring = _keyring(home, artifact_root, master_key)
    rows = (
        (keys.tenant or "(installation)", ", ".join(map(str, keys.versions)), "destroyed" if keys.shredded else "")
        for keys in keyring.tenants()
    )
    make_console().print(table(["TENANT", "VERSIONS", "STATE"], rows))


@app.command()
def rotate(
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Whose key; empty ('') for the installation's.", show_default=False)
    ] = None,
    master: Annotated[bool, typer.Option("--master", help="The master key.")] = False,
    home: HomeOption = DEFAULT_HOME_PATH,
    artifact_root: ArtifactRootOption = "",
    master_key: MasterKeyOption = "",
) -> None:
    """Makes a new version of a tenant's key, or of the master key.

    A tenant's new version encrypts what is written from now on; what was written before stays readable, and nothing is
    written again. A new version of the master key wraps all keys anew and retires the versions before it: no file of
    data is touched. Broken off, it is done again by the same command.

    Example: symbiont keys rotate --master

    Example: symbiont keys rotate --tenant acme
    """
    if (tenant is None) != master:
        raise InvalidArgument("--tenant", "say which key: either --tenant, or --master")
    keyring, console = _keyring(home, artifact_root, master_key), make_console()
    if tenant is None:
        console.print(f"the master key has a new version, which wraps {keyring.rotate_master()} keys")
    else:
        console.print(f"version {keyring.rotate(tenant)} of the key encrypts from now on")


@app.command()
def shred(
    tenant: Annotated[str, typer.Argument(help="Whose keys.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    home: HomeOption = DEFAULT_HOME_PATH,
    artifact_root: ArtifactRootOption = "",
    master_key: MasterKeyOption = "",
) -> None:
    """Destroys a tenant's keys: nothing that is the tenant's can ever be read again, copies and backups included.

    The master key gets a new version, and those before it are retired: no copy of the keyring opens it any more, other
    than with a copy of the master key. Other tenants are not touched. Reads of what is the tenant's fail with
    TENANT_SHREDDED, its open jobs end, and the name cannot be used again.

    Example: symbiont keys shred acme
    """
    if not tenant:
        raise InvalidArgument(
            "tenant", "the installation's own keys are not destroyed: remove its folder and master key"
        )
    keyring = _keyring(home, artifact_root, master_key)
    if tenant not in {keys.tenant for keys in keyring.tenants()}:
        raise InvalidArgument("tenant", f"{tenant!r} has no keys; symbiont keys list shows who has")
    if not yes:
        typer.confirm(f"Destroy the keys of {tenant}? Nothing of it can be read after that.", abort=True)
    count = keyring.shred(tenant)
    keyring.rotate_master()
    make_console().print(f"{count} keys of {tenant} are destroyed, and the master key has a new version")


def _keyring(path: Path, artifact_root: str, master_key: str) -> Keyring:
    home = Home(path.absolute())
    return open_keyring(artifact_root or home.artifact_root, master_key or master_key_of(home))
