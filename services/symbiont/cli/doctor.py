"""`symbiont doctor`: what is missing on this machine, and how to mend it."""

import typer
from rich.markup import escape

from symbiont.cli.console import make_console
from symbiont.cli.target import DEFAULT_HOME_PATH, HomeOption
from symbiont.cli.up import TritonOption
from symbiont.local.checks import Level, all_checks
from symbiont.local.home import Home

_MARK = {Level.OK: "[green]ok[/]     ", Level.WARN: "[yellow]warning[/]", Level.FAIL: "[bold red]missing[/]"}


def doctor(home: HomeOption = DEFAULT_HOME_PATH, triton: TritonOption = None) -> None:
    """Checks this machine and the running suite; exits with 1 when something essential is missing."""
    console = make_console()
    failed = 0
    for check in all_checks(Home(home.absolute()), triton):
        failed += check.level is Level.FAIL
        console.print(f"{_MARK[check.level]}  [bold]{check.name}[/]  {escape(check.detail)}", soft_wrap=True)
        if check.remedy:
            console.print(f"         [dim]{escape(check.remedy)}[/]", soft_wrap=True)
    if failed:
        console.print(f"\n[bold red]{failed} essential {'thing is' if failed == 1 else 'things are'} missing.[/]")
        raise typer.Exit(1)
    console.print("\n[green]Everything essential is there.[/]")
