"""`symbiont catalogues`: entries that are embedded once and then matched with queries."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

from symbiont.api.inference.v1.catalogue_pb2 import SEARCH_KIND_APPROXIMATE, Catalogue
from symbiont.cli.console import make_console
from symbiont.cli.render import facts, share, table, when
from symbiont.cli.target import with_client
from symbiont.client import Client
from symbiont.client.catalogues import Entry
from symbiont.client.names import short_name

app = typer.Typer(no_args_is_help=True, help="Catalogues: entries that are embedded once and matched with queries.")

CatalogueArgument = Annotated[str, typer.Argument(help="Id of the catalogue.")]


@app.command()
@with_client
def create(
    client: Client,
    catalogue: Annotated[str, typer.Argument(help="Id of the new catalogue.")],
    model: Annotated[
        str, typer.Option(help="Model that embeds: MODEL, MODEL@ALIAS, MODEL/versions/N, bundles/DIGEST.")
    ],
) -> None:
    """Creates a catalogue without entries, pinned to what the model means now.

    Example: symbiont catalogues create faq --model embedder
    """
    make_console().print(_facts(client.create_catalogue(catalogue, model)))


@app.command("import")
@with_client
def import_entries(
    client: Client,
    catalogue: CatalogueArgument,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV, TSV or JSONL file.")],
    id_column: Annotated[str, typer.Option(help="Column of the id.")] = "id",
    text_column: Annotated[str, typer.Option(help="Column of the text.")] = "text",
    replace: Annotated[bool, typer.Option("--replace", help="Remove entries that the file does not name.")] = False,
    model: Annotated[
        str | None, typer.Option(help="With --replace: pin the catalogue to what this model means now.")
    ] = None,
) -> None:
    """Adds and replaces entries, all in one change; a text that did not change is not embedded again.

    Example: symbiont catalogues import faq faq.csv --text-column question
    """
    entries = list(entries_of(file, id_column, text_column))
    console = make_console()
    with _bar(console) as bar:
        task = bar.add_task("embedding", total=len(entries))
        done = client.import_catalogue_entries(
            catalogue,
            entries,
            replace=replace,
            model=model,
            progress=lambda sent: bar.update(task, completed=sent),
        )
    counts = [("embedded", done.embedded_count), ("known before", done.unchanged_count)]
    counts += [("cut", done.truncated_count), ("removed", done.deleted_count)]
    console.print(_facts(done.catalogue))
    console.print(", ".join(f"{count:,} {name}" for name, count in counts if count) or "nothing changed")


@app.command("list")
@with_client
def list_all(client: Client) -> None:
    """Lists the catalogues."""
    rows = (
        (short_name(c.name), c.version, f"{c.entry_count:,}", c.model, _kind(c), when(c.create_time))
        for c in client.list_catalogues()
    )
    make_console().print(table(["CATALOGUE", ">VERSION", ">ENTRIES", "MODEL", "SEARCH", "CHANGED"], rows))


@app.command()
@with_client
def describe(client: Client, catalogue: CatalogueArgument) -> None:
    """Shows one catalogue, and its versions that are kept."""
    versions = client.list_catalogue_versions(catalogue)
    console = make_console()
    console.print(_facts(versions[0]))
    console.print()
    rows = ((v.version, f"{v.entry_count:,}", v.digest[:12], when(v.create_time)) for v in versions)
    console.print(table([">VERSION", ">ENTRIES", "DIGEST", "CREATED"], rows))


@app.command()
@with_client
def delete(
    client: Client,
    catalogue: CatalogueArgument,
    entries: Annotated[
        list[str] | None, typer.Option("--entry", help="Delete this entry only; may be given several times.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Deletes a catalogue, or some of its entries.

    Example: symbiont catalogues delete faq --entry q17
    """
    if entries:
        make_console().print(f"{client.delete_catalogue_entries(catalogue, entries):,} removed")
        return
    if not yes:
        typer.confirm(f"Delete the catalogue {catalogue} with all of its entries?", abort=True)
    client.delete_catalogue(catalogue)
    make_console().print(f"{catalogue} is deleted", markup=False)


@app.command()
@with_client
def search(
    client: Client,
    catalogue: CatalogueArgument,
    texts: Annotated[list[str], typer.Argument(metavar="TEXT...", help="Texts to find entries for.")],
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=0, max=1000, help="Entries for each text; 0: 10.")] = 0,
    threshold: Annotated[float | None, typer.Option(help="Cosine from which an entry is shown, -1 to 1.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a text.")] = False,
) -> None:
    """Finds the entries nearest to texts.

    Example: symbiont catalogues search faq "How do I reset my password?" --top-k 3
    """
    answer = client.search_catalogue(catalogue, texts, top_k=top_k, threshold=threshold)
    if as_json:
        for text, ranking in zip(texts, answer.rankings, strict=True):
            matches = [{"id": match.id, "score": match.score} for match in ranking.matches]
            line = {"text": text, "matches": matches, "catalogue_version": ranking.catalogue_version}
            print(json.dumps(line, ensure_ascii=False))
        return
    rows = [
        (match.id, f"{match.score:.4f}", "" if place else text)
        for text, ranking in zip(texts, answer.rankings, strict=True)
        for place, match in enumerate(ranking.matches)
    ]
    make_console().print(table(["ENTRY", ">COSINE", "TEXT"], rows))


def entries_of(file: Path, id_column: str, text_column: str) -> Iterator[Entry]:
    """Yields ids with their texts out of a file; the suffix says of which kind it is."""
    # A limit of the library that a long text may exceed.
    csv.field_size_limit(1 << 24)
    with file.open(encoding="utf-8-sig", newline="") as stream:
        for number, row in enumerate(_rows(file, stream), start=1):
            if not isinstance(row, dict) or not {id_column, text_column} <= row.keys():
                raise ValueError(f"{file}: row {number} lacks {id_column} or {text_column}; name the columns")
            yield str(row[id_column] or ""), str(row[text_column] or "")


def _rows(file: Path, stream: IO[str]) -> Iterator[object]:
    suffix = file.suffix.lower()
    if suffix in (".csv", ".tsv"):
        yield from csv.DictReader(stream, delimiter="," if suffix == ".csv" else "\t")
    elif suffix in (".jsonl", ".ndjson"):
        yield from (json.loads(line) for line in stream if line.strip())
    else:
        raise ValueError(f"{file}: {suffix or 'no suffix'}; entries come from .csv, .tsv or .jsonl")


def _facts(catalogue: Catalogue) -> Table:
    return facts(
        [
            ("name", catalogue.name),
            ("version", catalogue.version),
            ("entries", f"{catalogue.entry_count:,}"),
            ("model", catalogue.model),
            ("bundle", catalogue.served_model.bundle_digest),
            ("dimensions", catalogue.dimensions),
            ("search", _kind(catalogue)),
            ("digest", catalogue.digest),
            ("changed", when(catalogue.create_time)),
        ]
    )


def _kind(catalogue: Catalogue) -> str:
    if catalogue.search_kind != SEARCH_KIND_APPROXIMATE:
        return "exact"
    return f"approximate, finds {share(catalogue.recall)} of the nearest ten"


def _bar(console: Console) -> Progress:
    columns = ("[dim]{task.description}[/]", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
