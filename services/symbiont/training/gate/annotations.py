"""Rows as tasks of Label Studio, JSON lines or CSV, for people who label them, and labels back from there.

A task carries the number of its row and the digest of its dataset, so that a label finds its row again.
"""

import csv
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from symbiont.common.errors import InvalidArgument
from symbiont.common.spreadsheets import inert, without_apostrophe
from symbiont.training.data.cells import name_of, number_of, parts_of
from symbiont.training.data.datasets import check_label_count, names_of
from symbiont.training.data.readers import MAX_LINE_BYTES
from symbiont.training.data.rows import Label, LabelKind, Mark, Row
from symbiont.training.gate.findings import Finding
from symbiont.training.gate.results import Suggestion

FILE = "chunk"
# Names in the labelling interface: <Choices name="label" toName="text">, or <Labels …> for parts of a text.
_FROM, _TO = "label", "text"
_MODEL = "symbiont"
_MOST_DIGITS = 18


class AnnotationFormat(StrEnum):
    """How rows go out and labels come back; Label Studio's JSON and JSON-MIN are told apart by themselves."""

    LABEL_STUDIO = "LABEL_STUDIO"
    JSONL = "JSONL"
    CSV = "CSV"


@dataclass(frozen=True)
class Labelled:
    """What labels from outside made of rows."""

    rows: list[Row]
    findings: tuple[Finding, ...]
    changed: int


def export(
    rows: Sequence[Row],
    kind: LabelKind,
    digest: str,
    format: AnnotationFormat,
    suggestions: Sequence[Suggestion] = (),
) -> Iterator[bytes]:
    """Yields the bytes of a file with the rows that are suggested, or with all; what was suggested goes along."""
    chosen: list[tuple[int, Suggestion | None]] = [(item.row, item) for item in suggestions]
    tasks = (_task(rows[n], kind, n, digest, item) for n, item in chosen or [(n, None) for n in range(len(rows))])
    if format is AnnotationFormat.LABEL_STUDIO:
        yield b"["
        for place, task in enumerate(tasks):
            yield (b",\n" if place else b"\n") + json.dumps(task, ensure_ascii=False).encode()
        yield b"\n]\n"
    elif format is AnnotationFormat.JSONL:
        for task in tasks:
            yield json.dumps(_flat(task, kind), ensure_ascii=False).encode() + b"\n"
    else:
        yield from _csv(_flat(task, kind) for task in tasks)


def label(
    rows: Sequence[Row], kind: LabelKind, digest: str, format: AnnotationFormat, content: bytes, only_labelled: bool
) -> Labelled:
    """Returns rows with the labels of a file; rows that it does not name stay, or go with `only_labelled`.

    Of several people's labels for a row the most frequent one counts. Finds LABELLED, DISAGREEMENT (rows that stay as
    they are because of a tie) and SKIPPED (tasks without a label).

    Raises:
        InvalidArgument: the file cannot be read, names rows that there are not, is of another dataset, or has labels
            that no upload may have.
    """
    votes: defaultdict[int, Counter[Label]] = defaultdict(Counter)
    skipped: list[int] = []
    for number, found in _read(content, format, kind, digest, len(rows)):
        if found is None:
            skipped.append(number)
        else:
            votes[number][_checked(found, kind, rows[number], number)] += 1
    made, tied, changed = list[Row](), list[int](), 0
    for number, row in enumerate(rows):
        given = votes[number].most_common(2) if number in votes else []
        tie = len(given) > 1 and given[0][1] == given[1][1]
        if tie:
            tied.append(number)
        if given and not tie:
            changed += given[0][0] != row.label
            made.append(replace(row, label=given[0][0], origin=number))
        elif not only_labelled:
            made.append(replace(row, origin=number))
    check_label_count(len({name for row in made for name in names_of(row)}))
    counts = {"LABELLED": sorted(votes.keys() - set(tied)), "DISAGREEMENT": tied, "SKIPPED": sorted(set(skipped))}
    findings = (Finding(code, len(places), tuple(places[:100])) for code, places in counts.items() if places)
    return Labelled(made, tuple(findings), changed)


def _task(row: Row, kind: LabelKind, number: int, digest: str, item: Suggestion | None) -> dict[str, Any]:
    data: dict[str, Any] = {"text": row.text, "row": number, "dataset": digest}
    data |= {"pair": row.pair} if row.pair else {}
    data |= {"given": _plain(row.label)} if row.label is not None else {}
    task: dict[str, Any] = {"data": data}
    if item and item.label:
        data |= {"reason": str(item.reason)}
        result = [_result("choices", {"choices": [item.label]})]
        task["predictions"] = [{"model_version": _MODEL, "score": round(item.probability, 4), "result": result}]
    elif kind is LabelKind.ENTITIES and row.label:
        marks: Any = row.label
        result = [
            _result("labels", {"start": start, "end": end, "text": row.text[start:end], "labels": [name]})
            for start, end, name in marks
        ]
        task["predictions"] = [{"model_version": "given", "result": result}]
    return task


def _result(type: str, value: Mapping[str, Any]) -> dict[str, Any]:
    return {"from_name": _FROM, "to_name": _TO, "type": type, "value": dict(value)}


def _plain(label: Label) -> Any:
    return [list(part) if isinstance(part, tuple) else part for part in label] if isinstance(label, tuple) else label


def _flat(task: Mapping[str, Any], kind: LabelKind) -> dict[str, Any]:
    data = dict(task["data"])
    flat = {"row": data["row"], "dataset": data["dataset"], "text": data["text"], "pair": data.get("pair", "")}
    predicted = task.get("predictions", [{}])[0]
    choice = predicted.get("result", [{}])[0].get("value", {}).get("choices", [""])[0]
    given = data.get("given", "")
    return flat | {
        "given": given if kind is LabelKind.CLASS else json.dumps(given, ensure_ascii=False) if given != "" else "",
        "suggested": choice,
        "probability": predicted.get("score", "") if choice else "",
        "label": "",
    }


def _csv(rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    writer = None
    for row in rows:
        out = io.StringIO()
        if writer is None:
            csv.DictWriter(out, list(row)).writeheader()
        writer = csv.DictWriter(out, list(row))
        writer.writerow({name: inert(value) for name, value in row.items()})
        yield out.getvalue().encode()


def _read(
    content: bytes, format: AnnotationFormat, kind: LabelKind, digest: str, count: int
) -> Iterator[tuple[int, Label]]:
    """Yields (row, label), once for each person; None as label where a task was left without."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise InvalidArgument(FILE, f"the file is not UTF-8: byte 0x{content[exc.start]:02x} at {exc.start}") from exc
    readers = {
        AnnotationFormat.LABEL_STUDIO: _label_studio,
        AnnotationFormat.JSONL: _json_lines,
        AnnotationFormat.CSV: _delimited,
    }
    found = 0
    for place, (data, labels) in enumerate(readers[format](text, kind), start=1):
        number = data.get("row")
        if isinstance(number, str) and number.isdecimal() and len(number) <= _MOST_DIGITS:
            number = int(number)
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < count:
            raise InvalidArgument(FILE, f"task {place} names no row of the dataset: `row` must be 0 to {count - 1}")
        if data.get("dataset", digest) not in (digest, ""):
            raise InvalidArgument(FILE, f"task {place} is of another version of the dataset: its digest differs")
        found += 1
        for value in labels or [None]:
            yield number, value
    if not found:
        raise InvalidArgument(FILE, "the file has no tasks")


Task = tuple[Mapping[str, Any], list[Any]]


def _label_studio(text: str, kind: LabelKind) -> Iterator[Task]:
    tasks = _parsed(text, "the file")
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise InvalidArgument(FILE, "the file is not a JSON list of tasks")
    for task in tasks:
        if isinstance(task.get("data"), dict):
            done = [a for a in _parts(task.get("annotations")) if isinstance(a, dict) and not a.get("was_cancelled")]
            labels = [found for a in done if (found := _of_results(a.get("result", ()), kind)) is not None]
            yield task["data"], labels
        else:
            # JSON-MIN: the fields of the data, and the label under the name that the interface gives it.
            yield task, [found] if (found := _of_minimal(task.get(_FROM), kind)) is not None else []


def _of_results(results: Any, kind: LabelKind) -> Any:
    values = [r["value"] for r in _parts(results) if isinstance(r, dict) and isinstance(r.get("value"), dict)]
    if kind is LabelKind.ENTITIES:
        marked = ((v, _parts(v.get("labels"))) for v in values)
        return [[v["start"], v["end"], names[0]] for v, names in marked if names and {"start", "end"} <= v.keys()]
    if kind is LabelKind.NUMBER:
        return next((v[name] for v in values for name in ("number", "rating") if name in v), None)
    choices = [choice for v in values for choice in _parts(v.get("choices"))]
    return (choices if kind is LabelKind.CLASSES else choices[0]) if choices else None


def _parts(value: Any) -> list[Any]:
    """Returns a list of somebody else's JSON, empty where there is none; InvalidArgument for anything else."""
    if value is not None and not isinstance(value, list):
        raise InvalidArgument(FILE, "annotations, results, labels and choices must be JSON lists")
    return value or []


def _of_minimal(value: Any, kind: LabelKind) -> Any:
    if isinstance(value, dict):
        value = value.get("choices")
    if kind is LabelKind.ENTITIES and isinstance(value, list):
        return _of_results([{"value": part} for part in value], kind)
    if kind is LabelKind.CLASS and isinstance(value, list):
        return value[0] if value else None
    return [value] if kind is LabelKind.CLASSES and isinstance(value, str) else value


def _json_lines(text: str, kind: LabelKind) -> Iterator[Task]:
    # Other characters that Python ends lines at may stand in a text.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            values = _parsed(line, f"line {number}")
            if not isinstance(values, dict):
                raise InvalidArgument(FILE, f"line {number} is not a JSON object")
            yield values, [] if values.get("label") in (None, "") else [values["label"]]


def _delimited(text: str, kind: LabelKind) -> Iterator[Task]:
    # csv's own limit for a field is 128 KiB, less than a text may have.
    csv.field_size_limit(MAX_LINE_BYTES)
    try:
        for row in csv.DictReader(io.StringIO(text, newline=""), strict=True):
            if "label" not in row or "row" not in row:
                raise InvalidArgument(FILE, "the header line needs the columns row and label")
            value: Any = without_apostrophe((row["label"] or "").strip())
            if value and kind is not LabelKind.CLASS and kind is not LabelKind.NONE:
                value = _parsed(value, f"the label of row {row['row']}")
            yield row, [] if value == "" else [value]
    except csv.Error as exc:
        raise InvalidArgument(FILE, f"the file cannot be read as CSV: {exc}") from exc


def _parsed(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise InvalidArgument(FILE, f"{what} is not JSON") from exc


def _checked(value: Any, kind: LabelKind, row: Row, number: int) -> Label:
    """Returns a label as rows have it."""
    made: Label = None
    if kind in (LabelKind.CLASS, LabelKind.NONE) and isinstance(value, str) and value.strip():
        made = name_of(number, "label", value)
    elif kind is LabelKind.CLASSES and isinstance(value, list) and all(isinstance(v, str) and v for v in value):
        made = tuple(sorted({name_of(number, "label", name) for name in parts_of(number, value)}))
    elif kind is LabelKind.NUMBER and isinstance(value, int | float) and not isinstance(value, bool):
        made = number_of(number, "label", value)
    elif kind is LabelKind.ENTITIES and isinstance(value, list):
        made = _marks(parts_of(number, value), len(row.text), number)
    if made is None:
        raise InvalidArgument(FILE, f"the label of row {number} is none of kind {kind}")
    return made


def _marks(value: Sequence[Any], length: int, number: int) -> tuple[Mark, ...] | None:
    made: list[Mark] = []
    for part in value:
        if not isinstance(part, list) or [type(item) for item in part] != [int, int, str]:
            return None
        made.append((part[0], part[1], name_of(number, "label", part[2])))
    made.sort()
    ends = [0, *(end for _, end, _ in made)]
    fine = all(before <= start < end <= length for before, (start, end, _) in zip(ends, made, strict=False))
    return tuple(made) if fine else None
