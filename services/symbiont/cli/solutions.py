"""`symbiont solutions`: industry solutions from recipes, from raw files to a served, monitored model and its report."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from symbiont.cli import early_warning
from symbiont.cli.console import make_console
from symbiont.cli.inputs import FieldOption, fields_of
from symbiont.cli.render import facts, table
from symbiont.cli.target import with_client
from symbiont.client import Client
from symbiont.common.errors import InvalidArgument
from symbiont.solutions.answering import say
from symbiont.solutions.explanation import explanation
from symbiont.solutions.figures import Figures, Measured
from symbiont.solutions.guessing import Language, guess
from symbiont.solutions.loading import find_recipe, load_recipe, shipped
from symbiont.solutions.page import estimated, render, slice_cells
from symbiont.solutions.reporting import REPORT, RUN
from symbiont.solutions.rows import SolutionRow
from symbiont.solutions.running import QUICK_LOOK, Run, quick_look
from symbiont.solutions.running import check as check_files
from symbiont.solutions.running import run as run_solution
from symbiont.solutions.scaffold import scaffold
from symbiont.solutions.table import write_table

app = typer.Typer(
    no_args_is_help=True,
    help="Industry solutions: a recipe says all from raw files to a served, monitored model and its report.",
)
early_warning.add_to(app)
_HELD = {True: Text("held", "green"), False: Text("missed", "red"), None: Text("not judged", "dim")}

NameArgument = Annotated[str, typer.Argument(metavar="SOLUTION", help="Id, or a folder or file of your own recipe.")]
DataOption = Annotated[Path, typer.Option("--data", help="Folder of its raw files.")]
OutOption = Annotated[Path | None, typer.Option("--out", help="Folder to write to (default: solutions/ID here).")]
RowsOption = Annotated[
    int | None, typer.Option("--rows", min=1, help="Only so many rows of each side, for a quick look (default: all).")
]


@app.command("list")
def list_all() -> None:
    """Lists the solutions that come with the suite."""
    recipes = [load_recipe(path).recipe for path in shipped().values()]
    rows = ((one.solution, one.title, one.task.head, one.language, one.base.id) for one in recipes)
    make_console().print(table(["SOLUTION", "TITLE", "TASK", "LANGUAGE", "BASE"], rows))


@app.command()
def explain(
    solution: NameArgument,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Also check the raw files of this folder."),
    ] = None,
) -> None:
    """Says what a recipe does, step by step; with --data also whether its files are as it says.

    Asks no service. What is wrong is said with file, line and remedy, all at once.

    Example: symbiont solutions explain financial-sentiment
    """
    located = find_recipe(solution)
    recipe, console = located.recipe, make_console()
    console.print(f"{recipe.title}\n{recipe.summary}\n", markup=False)
    console.print(facts(explanation(recipe)))
    if data:
        sides = check_files(Run(located, data, Path()))
        console.print(f"\n{len(sides.train):,} rows to learn from, {len(sides.test):,} to judge by: nothing is wrong")


@app.command()
@with_client
def run(
    client: Client,
    solution: NameArgument,
    data: DataOption,
    out: OutOption = None,
    rows: RowsOption = None,
) -> None:
    """Runs a solution: rows, data gate, training, gate, promotion, answers, baselines, report.

    Everything that can be checked is checked before anything starts. After Ctrl-C or a crash the same command goes on;
    what is done already is found. The exit status is 1 when a bar of the recipe is missed. With --rows no gate is
    asked, and what is made serves under the alias quick-look.

    Example: symbiont solutions run financial-sentiment --data data/sentfin
    """
    located = find_recipe(solution)
    folder = out or Path("solutions") / located.recipe.solution
    console = make_console()
    found = run_solution(client, Run(located, data, folder, rows), lambda text: _say(console, text))
    _show(console, found)
    console.print(f"\nreport: {folder / REPORT}", markup=False, soft_wrap=True)
    alias = f" --alias {QUICK_LOOK}" if found.sample else ""
    console.print(f"[dim]ask it:[/] symbiont solutions ask {solution} 'a text'{alias}", soft_wrap=True)
    if not found.sample and any(bar.held is False for bar in found.bars):
        raise typer.Exit(1)


@app.command()
@with_client
def ask(
    client: Client,
    solution: NameArgument,
    texts: Annotated[list[str], typer.Argument(metavar="TEXT...", help="What is asked: a text, question or message.")],
    pair: Annotated[str, typer.Option(help="Second text of each: a context, a reference.")] = "",
    field: FieldOption = None,
    alias: Annotated[str, typer.Option(help="Ask this alias, as quick-look (default: the recipe's).")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a text.")] = False,
) -> None:
    """Answers as the solution does: with reasons, and with what it leaves to a person.

    Needs a solution that was run. A reason is a word, a sentence or a field, and what the probability falls by
    without it.

    Example: symbiont solutions ask customer-scope "Where is my card?" "Who won the game?"
    """
    located = find_recipe(solution)
    recipe = (quick_look(located) if alias == QUICK_LOOK else located).recipe
    if alias not in ("", QUICK_LOOK):
        recipe = recipe.model_copy(update={"serving": recipe.serving.model_copy(update={"alias": alias})})
    rows = [SolutionRow(text, pair, fields=fields_of(field or [])).asked(recipe.task.head) for text in texts]
    console = make_console()
    for text, said in zip(texts, say(client, recipe, rows), strict=True):
        if as_json:
            print(json.dumps({"text": text, **asdict(said)}, ensure_ascii=False))
            continue
        sure = "" if said.sure is None else f" {said.sure:.3f}"
        left = Text("  to a person", "yellow") if said.to_person else Text()
        if len(texts) > 1:
            console.print(Text(text, "dim"), soft_wrap=True)
        console.print(Text(said.answer or "none", "bold") + Text(sure) + left, soft_wrap=True)
        for reason in said.reasons:
            weight = "" if reason.weight is None else f"{reason.weight:+.3f} "
            console.print(Text(f"  {weight}{reason.text}", "dim"), soft_wrap=True)


@app.command()
def report(
    solution: NameArgument,
    out: OutOption = None,
    readme: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Also write the table of figures into this README.")
    ] = None,
) -> None:
    """Shows what the last run found, and writes its page again; with --readme its table, too.

    Example: symbiont solutions report financial-sentiment
    """
    located = find_recipe(solution)
    folder = out or Path("solutions") / located.recipe.solution
    if not (folder / RUN).is_file():
        raise typer.BadParameter(f"{folder / RUN} does not exist: symbiont solutions run {solution} makes it")
    found = Figures.model_validate_json((folder / RUN).read_text(encoding="utf-8"))
    (folder / REPORT).write_text(render(found), encoding="utf-8")
    if readme:
        write_table(readme, found)
    _show(make_console(), found)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Id of the new solution: a-z, 0-9 and -.")],
    folder: Annotated[Path, typer.Option(help="Folder that it gets its own folder in.")] = Path(),
    language: Annotated[
        Language, typer.Option(help="Of made-up texts; mixed: Chinese and English, on e5-small.")
    ] = "en",
    rows: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Your table (.csv, .tsv, .jsonl): its columns and classes are found out."),
    ] = None,
    judge: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Table that judges, of the same folder (default: a fifth of the rows)."),
    ] = None,
    text: Annotated[str, typer.Option(help="Column of the texts (default: the longest).")] = "",
    label: Annotated[str, typer.Option(help="Column of the classes (default: by its name and its values).")] = "",
) -> None:
    """Begins a solution of your own: from a table of yours, or on made-up rows, to be changed bit by bit.

    Examples: symbiont solutions new complaints --rows complaints.csv; symbiont solutions new complaints
    """
    console = make_console()
    if rows is None:
        if judge or text or label:
            raise InvalidArgument("--rows", "--judge, --text and --label go with it: name your table")
        made = scaffold(name, folder, language)
        data = made / "data"
        console.print(f"{made} has solution.yaml, README.md and rows that are made up", markup=False)
    else:
        if judge and judge.resolve().parent != rows.resolve().parent:
            raise InvalidArgument("--judge", f"it must lie beside {rows.name}: one folder has the raw files")
        found = guess(rows, text, label)
        made = scaffold(name, folder, found=found, files=[rows, judge] if judge else [rows])
        data = rows.parent
        console.print(f"{made} has solution.yaml and README.md. Look whether it is right:", markup=False)
        for line in found.said():
            _say(console, line)
    place = made if made.is_absolute() else f"./{made}"
    console.print(f"[dim]check it:[/]     symbiont solutions explain {place} --data {data}", soft_wrap=True)
    console.print(f"[dim]a quick look:[/] symbiont solutions run {place} --data {data} --rows 200", soft_wrap=True)
    console.print(f"[dim]all of it:[/]    symbiont solutions run {place} --data {data}", soft_wrap=True)


def _say(console: Console, text: str) -> None:
    console.print(f"[dim]·[/] {escape(text)}", soft_wrap=True)


def _show(console: Console, found: Figures) -> None:
    theirs = [{m.metric: m for m in one.measured} for one in found.baselines]
    columns = ["METRIC", ">OURS (95 %)", *(f">{one.baseline.upper()}" for one in found.baselines)]
    rows = [
        (m.metric, estimated(m.metric, m.estimate), *(_cell(m.metric, one) for one in theirs)) for m in found.measured
    ]
    console.print(table(columns, rows, title=f"{found.title}: {found.version.removeprefix('models/')}"))
    if found.slices:
        names = [
            "PROPERTY",
            "VALUE",
            ">ROWS",
            f">{found.primary.upper()}",
            *(f">{b.baseline.upper()}" for b in found.baselines),
        ]
        console.print(table(names, slice_cells(found)))
    if found.bars:
        console.print(table(["BAR", ""], ((bar.text, _HELD[bar.held]) for bar in found.bars)))
    latency = found.latency
    console.print(
        f"a row: p50 {latency.p50_ms:.1f} ms, p99 {latency.p99_ms:.1f} ms; {found.seconds:,.0f} s of training"
    )


def _cell(metric: str, measured: "dict[str, Measured]") -> str:
    one = measured.get(metric)
    return estimated(metric, one.estimate) if one else ""
