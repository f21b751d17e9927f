"""Records as the rows of the suite: texts, label, fields, and what stands beside them."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from symbiont.bundle.fields import days_of
from symbiont.client import Input, Pair, QuestionContext, Text
from symbiont.client.inputs import FieldValue
from symbiont.client.requests import DatasetColumns
from symbiont.solutions.marking import marks_of
from symbiont.solutions.reading import Columns, Record, fill
from symbiont.solutions.recipe_rows import Data, FieldKind

LABEL = "label"
# As the service reads them.
_FLAGS = {"true": True, "yes": True, "1": True, "1.0": True, "false": False, "no": False, "0": False, "0.0": False}


@dataclass(frozen=True)
class SolutionRow:
    """A row.

    Attributes:
        label: a name, a list of names, a number, a list of answers with start and text, or of entities with start, end
            and label; None where there is none.
        fields: what the model gets beside the text; what is missing is left out.
        slices: what it is judged by apart, and does not get.
        place: where it stands in the raw files, for people; empty where it is of none.
    """

    text: str
    pair: str = ""
    label: Any = None
    fields: Mapping[str, FieldValue] = field(default_factory=dict)
    slices: Mapping[str, str] = field(default_factory=dict)
    group: str = ""
    time: str = ""
    subject: str = ""
    place: str = field(default="", compare=False)

    def asked(self, head: str) -> Input:
        """Returns it as what a model with such a head is asked."""
        if head == "spans":
            return QuestionContext(self.text, self.pair)
        return Pair(self.text, self.pair, self.fields) if self.pair else Text(self.text, self.fields)


def rows_of(data: Data, records: Iterable[Record]) -> Iterator[SolutionRow]:
    """Yields the rows of records, without those whose label is dropped."""
    for record in records:
        named = label_of(data, record.columns)
        if named is not None or data.label.kind == "none":
            yield _row(data, record, named)


def label_of(data: Data, columns: Columns) -> Any:
    """Returns the label of a record as the model knows it; None where the row is dropped, or has none.

    Raises:
        KeyError: the map of the recipe does not have it.
        ValueError: it is no number, where labels are numbers, or no parts of the text.
    """
    label = data.label
    if label.kind == "none":
        return None
    raw = fill(label.column, columns)
    if label.kind == "answers":
        return raw
    if label.kind == "number":
        return float(raw)
    if label.kind == "entities":
        words = str(fill(label.words, columns)) if label.words else None
        marks = marks_of(str(fill(data.text, columns)).strip(), raw, words)
        return [{"start": a, "end": b, "label": _mapped(label.map, n)} for a, b, n in marks if n not in label.drop]
    if label.kind == "classes":
        names = [name for name in str(raw).split("|") if name and name not in label.drop]
        return [_mapped(label.map, name) for name in names]
    return None if str(raw) in label.drop else _mapped(label.map, str(raw))


def _mapped(names: Mapping[str, str], name: str) -> str:
    return names[name] if names else name


def _row(data: Data, record: Record, label: Any) -> SolutionRow:
    columns = record.columns
    fields = {
        name: value_of(kind, columns[name]) for name, kind in data.fields.items() if columns[name] not in ("", None)
    }
    beside = {name: str(columns[name]) if name else "" for name in (data.group, data.time, data.subject)}
    return SolutionRow(
        text=str(fill(data.text, columns)).strip(),
        pair=_pair(data, columns),
        label=label,
        fields=fields,
        slices={name: str(columns[name]) for name in data.slices},
        group=beside[data.group] if data.group else "",
        time=beside[data.time] if data.time else "",
        subject=beside[data.subject] if data.subject else "",
        place=record.place,
    )


def _pair(data: Data, columns: Columns) -> str:
    """Returns the second text, without the spaces around it unless places of answers are counted in it."""
    pair = str(fill(data.pair, columns)) if data.pair else ""
    return pair if data.label.kind == "answers" else pair.strip()


def value_of(kind: FieldKind, raw: Any) -> FieldValue:
    """Returns a cell as the value of a field.

    Raises:
        ValueError: it is no number, no flag or no date of ISO 8601, where it should be one.
    """
    if kind == "number":
        return float(raw)
    if kind == "flag":
        if (word := str(raw).strip().lower()) not in _FLAGS:
            raise ValueError(f"{raw!r} is no flag: {', '.join(_FLAGS)}")
        return _FLAGS[word]
    if kind == "date":
        days_of(text := str(raw).strip())
        return text
    return str(raw)


def write(rows: Sequence[SolutionRow], path: Path) -> Path:
    """Writes rows as the file of a dataset, JSONL; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(_cells(row), ensure_ascii=False) + "\n")
    return path


def _cells(row: SolutionRow) -> dict[str, Any]:
    cells = {"text": row.text, "pair": row.pair, LABEL: row.label, **row.fields}
    cells |= {"group_": row.group, "time_": row.time, "subject_": row.subject}
    return {name: value for name, value in cells.items() if value not in ("", None)}


def columns_of_dataset(data: Data) -> DatasetColumns:
    """Returns what is what in the file that `write` has written."""
    columns = DatasetColumns(label_kind=data.label.kind, fields=dict(data.fields))
    if data.label.kind != "none":
        columns["label_column"] = LABEL
    if data.pair:
        columns["pair_column"] = "pair"
    if data.group:
        columns["group_column"] = "group_"
    if data.time:
        columns["time_column"] = "time_"
    if data.subject:
        columns["subject_column"] = "subject_"
    return columns
