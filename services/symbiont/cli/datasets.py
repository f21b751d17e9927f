"""`symbiont datasets`: labelled text, checked on the way in."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn
from rich.table import Table

from symbiont.api.training.v1.dataset_pb2 import Dataset, FieldColumn, FieldKind
from symbiont.api.training.v1.dataset_pb2 import LabelKind as PbLabelKind
from symbiont.cli.console import make_console
from symbiont.cli.gate_tables import lineage_table
from symbiont.cli.render import enum_words, facts, format_word, table, when
from symbiont.cli.target import with_client
from symbiont.client import Client
from symbiont.client.names import short_name

app = typer.Typer(
    no_args_is_help=True, help="Datasets: rows to learn from, checked on the way in and never changed after."
)


class LabelKind(StrEnum):
    """What the labels are."""

    CLASS = "class"
    CLASSES = "classes"
    NUMBER = "number"
    ENTITIES = "entities"
    ANSWERS = "answers"
    NONE = "none"


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
    label_kind: Annotated[LabelKind, typer.Option(help="What the labels are.")] = LabelKind.CLASS,
    pair_column: Annotated[str, typer.Option(help="Column of a second text: of a pair, or a context.")] = "",
    field: Annotated[
        list[str] | None,
        typer.Option(help="Column of a business field, as NAME:KIND (number, flag, category, date); repeatable."),
    ] = None,
    group_column: Annotated[str, typer.Option(help="Column of what belongs on one side of a split.")] = "",
    time_column: Annotated[str, typer.Option(help="Column of the time of a row, ISO 8601.")] = "",
    subject_column: Annotated[str, typer.Option(help="Column that says whose data a row is.")] = "",
) -> None:
    """Uploads a dataset; nothing is stored when a row is wrong.

    Labels are a name each (class), several (classes: a JSON list, or a|b in CSV), numbers, or JSON lists of parts of
    the text (entities: start, end, label) or of the second text (answers: start, text). With none there is no column.

    Example: symbiont datasets create intents intents.csv --label-column intent
    Example: symbiont datasets create loans loans.csv --field amount:number --field purpose:category
    """
    console = make_console()
    with _upload_bar(console) as bar:
        task = bar.add_task("uploading", total=file.stat().st_size)
        made = client.create_dataset(
            dataset,
            file,
            format=format,
            text_column=text_column,
            label_column="" if label_kind is LabelKind.NONE else label_column,
            label_kind=label_kind.value,
            pair_column=pair_column,
            fields=dict(_field(text) for text in field or ()),
            group_column=group_column,
            time_column=time_column,
            subject_column=subject_column,
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
    if made.label_counts:
        console.print()
        console.print(table(["LABEL", ">ROWS"], ((c.label, c.count) for c in made.label_counts)))
    if made.transforms:
        console.print()
        console.print(lineage_table(made))


def _field(text: str) -> tuple[str, str]:
    name, colon, kind = text.rpartition(":")
    if not colon:
        raise typer.BadParameter(f"{text!r} does not say its kind: {text}:number, for example", param_hint="--field")
    return name, kind


def _columns(dataset: Dataset) -> str:
    texts = " + ".join(filter(None, [dataset.text_column, dataset.pair_column]))
    return f"{texts} -> {dataset.label_column}" if dataset.label_column else texts


def _range(dataset: Dataset) -> str:
    return f"{dataset.min_label:g} to {dataset.max_label:g}" if dataset.min_label < dataset.max_label else ""


def _field_words(field: FieldColumn) -> str:
    return f"{field.name} ({enum_words(FieldKind, [field.kind], 'FIELD_KIND_')})"


def _facts(dataset: Dataset) -> Table:
    return facts(
        [
            ("name", dataset.name),
            ("rows", f"{dataset.row_count:,}"),
            ("labels", len(dataset.label_counts)),
            ("kind", enum_words(PbLabelKind, [dataset.label_kind], "LABEL_KIND_")),
            ("columns", _columns(dataset)),
            (
                "range",
                f"{dataset.min_label:g} to {dataset.max_label:g}" if dataset.max_label > dataset.min_label else "",
            ),
            (
                "fields",
                ", ".join(f"{f.name} ({enum_words(FieldKind, [f.kind], 'FIELD_KIND_')})" for f in dataset.fields),
            ),
            ("group", dataset.group_column),
            ("time", dataset.time_column),
            ("subject", dataset.subject_column),
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
