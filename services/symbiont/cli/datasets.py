"""`symbiont datasets`: labelled text, checked on the way in."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn
from rich.table import Table

from symbiont.api.training.v1.dataset_pb2 import Dataset
from symbiont.cli.console import make_console
from symbiont.cli.gate_tables import lineage_table
from symbiont.cli.render import facts, format_word, table, when
from symbiont.cli.target import with_client
from symbiont.client import Client
from symbiont.client.names import short_name

app = typer.Typer(no_args_is_help=True, help="Datasets: labelled text, checked on the way in and never changed after.")


@app.command()
@with_client
def create(
    client: Client,
    dataset: Annotated[str, typer.Argument(help="Id of the new dataset.")],
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV, TSV, JSONL or Parquet file.")],
    format: Annotated[
        str | None, typer.Option(help="csv, tsv, jsonl or parquet (default: by the suffix).", show_default=False)
    ] = None,
    text_column: Annotated[str, typer.Option(help="Column of the text.")] = "text",
    label_column: Annotated[str, typer.Option(help="Column of the label.")] = "label",
) -> None:
    """Uploads a dataset; nothing is stored when a row is wrong.

    Example: symbiont datasets create intents intents.csv --label-column intent
    """
    console = make_console()
    with _upload_bar(console) as bar:
        task = bar.add_task("uploading", total=file.stat().st_size)
        made = client.create_dataset(
            dataset,
            file,
            format=format,
            text_column=text_column,
            label_column=label_column,
            progress=lambda sent, total: bar.update(task, completed=sent, total=total),
        )
    console.print(_facts(made))


@app.command("list")
@with_client
def list_all(client: Client) -> None:
    """Lists the datasets."""
    rows = (
        (
            short_name(d.name),
            d.row_count,
            len(d.label_counts),
            format_word(d.format),
            d.digest[:12],
            when(d.create_time),
        )
        for d in client.list_datasets()
    )
    make_console().print(table(["DATASET", ">ROWS", ">LABELS", "FORMAT", "DIGEST", "CREATED"], rows))


@app.command()
@with_client
def show(client: Client, dataset: Annotated[str, typer.Argument(help="Id of the dataset.")]) -> None:
    """Shows one dataset, its labels, and what it was made of."""
    made = client.get_dataset(dataset)
    console = make_console()
    console.print(_facts(made))
    console.print()
    console.print(table(["LABEL", ">ROWS"], ((c.label, c.count) for c in made.label_counts)))
    if made.transforms:
        console.print()
        console.print(lineage_table(made))


def _facts(dataset: Dataset) -> Table:
    return facts(
        [
            ("name", dataset.name),
            ("rows", f"{dataset.row_count:,}"),
            ("labels", len(dataset.label_counts)),
            ("columns", f"{dataset.text_column} -> {dataset.label_column}"),
            ("format", format_word(dataset.format)),
            ("bytes", f"{dataset.byte_count:,}"),
            ("digest", dataset.digest),
            ("made of", ", ".join(parent.digest[:12] for parent in dataset.parents)),
            ("created", when(dataset.create_time)),
        ]
    )


def _upload_bar(console: Console) -> Progress:
    columns = ("[dim]{task.description}[/]", BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
