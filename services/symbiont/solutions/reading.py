"""Raw files as records: a dict of columns for each row, with where it stands."""

import csv
import json
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from symbiont.solutions.recipe_rows import Source

Columns = Mapping[str, Any]
# Of the layout `squad`.
SQUAD_COLUMNS = ("id", "title", "question", "context", "answers")
# The column that every row has besides.
ROW = "row"
# Of an answer, characters beside the place where it is said to stand.
_OFF = 2
_DELIMITERS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True)
class Record:
    """A row of a raw file; `line` counts from 1, of `squad` it is the number of the question."""

    columns: Columns
    file: str
    line: int

    @property
    def place(self) -> str:
        """Where it stands, for people."""
        return f"{self.file}, row {self.line}"


class UnreadableError(Exception):
    """A raw file is not what its name or layout says; the message has what to do."""


def read(folder: Path, source: Source) -> Iterator[Record]:
    """Yields the records of a file that the source asks for, in order; null is an empty cell.

    Raises:
        UnreadableError: the file cannot be read so.
    """
    path = folder / source.file
    try:
        rows = _squad(path) if source.layout == "squad" else _table(path)
        for line, columns in rows:
            whole = {name: "" if cell is None else cell for name, cell in {ROW: line, **columns, **source.set}.items()}
            if line not in source.without and all(
                str(whole.get(name)) in wanted for name, wanted in source.where.items()
            ):
                yield Record(whole, source.file, line)
    except (UnicodeDecodeError, json.JSONDecodeError, csv.Error, KeyError, TypeError) as exc:
        raise UnreadableError(f"{source.file} is no {source.layout} in UTF-8: {exc!r}") from exc


def _table(path: Path) -> Iterator[tuple[int, Columns]]:
    if path.suffix in (".jsonl", ".ndjson"):
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield number, json.loads(line)
        return
    if path.suffix not in _DELIMITERS:
        raise UnreadableError(f"{path.name}: tables are .csv, .tsv or .jsonl; for SQuAD's JSON say layout: squad")
    with path.open(encoding="utf-8", newline="") as stream:
        delimiter = _DELIMITERS[path.suffix]
        for number, row in enumerate(csv.DictReader(stream, delimiter=delimiter, strict=True), 2):
            if None in row or None in row.values():
                raise UnreadableError(f"{path.name}, row {number}: it has not as many cells as the header")
            if delimiter == "\t" and any("\t" in cell and "\n" in cell for cell in row.values()):
                problem = "a quote that is not closed makes one cell of several lines: double it, or take it away"
                raise UnreadableError(f"{path.name}, row {number}: {problem}")
            yield number, row


def _squad(path: Path) -> Iterator[tuple[int, Columns]]:
    number = 0
    for article in json.loads(path.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            for asked in paragraph["qas"]:
                number += 1
                answers = [
                    {"start": _stands(one["text"], paragraph["context"], one["answer_start"]), "text": one["text"]}
                    for one in asked["answers"]
                ]
                yield (
                    number,
                    {
                        "id": asked["id"],
                        "title": article.get("title", ""),
                        "question": asked["question"],
                        "context": paragraph["context"],
                        "answers": answers,
                    },
                )


def _stands(text: str, context: str, start: int) -> int:
    """Returns where an answer stands; what is said is a character or two beside it in a few rows of CMRC 2018."""
    near = (start + off for off in sorted(range(-_OFF, _OFF + 1), key=abs))
    return next((place for place in near if place >= 0 and context.startswith(text, place)), start)


def columns_of(template: str) -> list[str]:
    """Returns the columns that a name or a template needs."""
    names = [name for _, name, _, _ in string.Formatter().parse(template) if name]
    return names or [template]


def fill(template: str, columns: Columns) -> Any:
    """Returns the value of a column, or of a template the text with its columns in place."""
    if "{" not in template:
        return columns[template]
    return template.format_map(columns)
