"""`symbiont audit`: whether the audit log is as it was written, and what it says."""

import json
from pathlib import Path
from typing import Annotated

import typer

from symbiont.cli.console import make_console
from symbiont.common.access.chain import chains, head_of, lines_of, problems_of
from symbiont.common.errors import IntegrityError, NotFound

app = typer.Typer(
    help="The audit log of a suite: who did what to which resource, with which outcome. SYMBIONT_AUDIT_ROOT of each "
    "service names its folder; there each process has a chain of lines of its own.",
    no_args_is_help=True,
)
_Folder = Annotated[Path, typer.Argument(help="What SYMBIONT_AUDIT_ROOT names.", metavar="FOLDER", show_default=False)]


@app.command()
def verify(
    folder: _Folder,
    expect: Annotated[
        list[str] | None,
        typer.Option(
            help="CHAIN=DIGEST as an earlier verify printed it and you have kept it: that line must still be there. "
            "Finds also what was written anew as a whole.",
            metavar="CHAIN=DIGEST",
        ),
    ] = None,
) -> None:
    """Finds lines that were changed, removed, added or moved, and says which; exits with 1 where there are any.

    Keep what it prints elsewhere, where nobody who can write to the folder can: with --expect it is held to that.

    Example: symbiont audit verify /var/lib/symbiont/audit
    """
    console, found = make_console(), 0
    for chain in _chains(folder):
        problems = [*problems_of(chain), *_unmet(chain, expect or [])]
        found += len(problems)
        for problem in problems:
            console.print(f"{chain.name}/{problem}", style="red", soft_wrap=True)
        if not problems:
            console.print(f"{chain.name}={head_of(chain)}", soft_wrap=True)
    gone = {said.partition("=")[0] for said in expect or []} - {chain.name for chain in _chains(folder)}
    if found or gone:
        lost = f"; chains that are not there: {', '.join(sorted(gone))}" if gone else ""
        raise IntegrityError(f"the audit log in {folder} is not as it was written: {found} faults{lost}")


@app.command()
def export(
    folder: _Folder,
    tenant: Annotated[str, typer.Option(help="Only calls of this tenant.", metavar="TENANT")] = "",
    principal: Annotated[str, typer.Option(help="Only calls of this principal.", metavar="NAME")] = "",
    denied: Annotated[bool, typer.Option("--denied", help="Only calls that were refused to their caller.")] = False,
    since: Annotated[
        str, typer.Option(help="Only from this time on: 2026-11-29, or with T12:00.", metavar="TIME")
    ] = "",
) -> None:
    """Prints the lines of all chains in the order of their times, one JSON object each, with `chain` and `number`.

    Example: symbiont audit export /var/lib/symbiont/audit --denied
    """
    lines = [{"chain": chain.name, **line} for chain in _chains(folder) for line in lines_of(chain)]
    for line in sorted(lines, key=lambda line: str(line.get("time", ""))):
        refused = line.get("outcome") in ("PERMISSION_DENIED", "UNAUTHENTICATED")
        asked = tenant in ("", line.get("tenant")) and principal in ("", line.get("principal"))
        if asked and (refused or not denied) and str(line.get("time", "")) >= since:
            print(json.dumps(line, ensure_ascii=False))


def _chains(folder: Path) -> list[Path]:
    found = chains(folder)
    if not found:
        raise NotFound(f"{folder} has no audit log: name what SYMBIONT_AUDIT_ROOT of the services names")
    return found


def _unmet(chain: Path, expected: list[str]) -> list[str]:
    digests = {line["digest"] for line in lines_of(chain)}
    wanted = (said.partition("=")[2] for said in expected if said.partition("=")[0] == chain.name)
    return [
        f"head: the line with the digest {digest} is not there any more" for digest in wanted if digest not in digests
    ]
