"""What stands in the cells of an upload, as the values of a row; InvalidArgument names the row at fault."""

import json
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime
from itertools import pairwise
from typing import Any

from symbiont.common.errors import InvalidArgument
from symbiont.training.data.header import Header
from symbiont.training.data.readers import FILE
from symbiont.training.data.rows import FieldValue, Label, LabelKind, Mark, Place, Row

MAX_TEXT_BYTES = 1 << 18
MAX_LABEL = 256
# Of one row.
MAX_PARTS = 1_000
FLAGS = {"true": True, "yes": True, "1": True, "1.0": True, "false": False, "no": False, "0": False, "0.0": False}
Cells = Mapping[str, Any]


def row_of(number: int, cells: Cells, header: Header) -> Row:
    """Returns the row that cells are, by the columns of a checked header; `number` is as a person counts."""
    text = _text(number, "text", cells[header.text_column])
    pair = _text(number, "second text", cells[header.pair_column]) if header.pair_column else ""
    kind = LabelKind(header.label_kind)
    return Row(
        text=text,
        label=_LABELS[kind](number, cells[header.label_column], text, pair) if header.label_column else None,
        pair=pair,
        fields=_fields(number, cells, header),
        group=_word(number, "group", cells, header.group_column),
        time=_date(number, header.time_column, cells[header.time_column]) or "" if header.time_column else "",
        subject=_word(number, "subject", cells, header.subject_column),
    )


def _text(number: int, what: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InvalidArgument(FILE, f"row {number} has no {what}")
    if len(value.encode("utf-8", "surrogatepass")) > MAX_TEXT_BYTES:
        raise InvalidArgument(FILE, f"the {what} of row {number} is over {MAX_TEXT_BYTES} bytes")
    _check_unicode(number, what, value)
    return value


def _check_unicode(number: int, what: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as exc:
        raise InvalidArgument(FILE, f"the {what} of row {number} is not Unicode: a lone surrogate") from exc


def name_of(number: int, what: str, value: Any) -> str:
    """Returns a name; a number stands for what it is called."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        raise InvalidArgument(FILE, f"row {number} has no {what}")
    if not isinstance(value, str | int | float):
        raise InvalidArgument(FILE, f"the {what} of row {number} is neither text nor a number")
    name = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    if not name or len(name) > MAX_LABEL:
        raise InvalidArgument(FILE, f"the {what} of row {number} must have 1 to {MAX_LABEL} characters")
    _check_unicode(number, what, name)
    return name


def _word(number: int, what: str, cells: Cells, column: str) -> str:
    return "" if not column or _is_missing(cells[column]) else name_of(number, what, cells[column])


def _is_missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


# Labels.


def _class(number: int, value: Any, text: str, pair: str) -> Label:
    return name_of(number, "label", value)


def _classes(number: int, value: Any, text: str, pair: str) -> Label:
    if isinstance(value, str) and not value.lstrip().startswith("["):
        value = [name for name in value.split("|") if name.strip()]
    names = [name_of(number, "label", name) for name in parts_of(number, value)]
    return tuple(sorted(set(names)))


def _number(number: int, value: Any, text: str, pair: str) -> Label:
    return number_of(number, "label", value)


def _entities(number: int, value: Any, text: str, pair: str) -> Label:
    marks: list[Mark] = []
    for part in parts_of(number, value):
        start, end = (_place(number, part, key) for key in ("start", "end"))
        if not 0 <= start < end <= len(text):
            problem = f"a part of row {number} is from {start} to {end}, its text has {len(text)} characters"
            raise InvalidArgument(FILE, problem)
        marks.append((start, end, name_of(number, "label", part.get("label"))))
    marks.sort()
    if any(first[1] > second[0] for first, second in pairwise(marks)):
        raise InvalidArgument(FILE, f"two parts of row {number} overlap")
    return tuple(marks)


def _answers(number: int, value: Any, text: str, pair: str) -> Label:
    places: set[Place] = set()
    for part in parts_of(number, value):
        start, answer = _place(number, part, "start"), part.get("text")
        if not isinstance(answer, str) or not answer:
            raise InvalidArgument(FILE, f"an answer of row {number} has no text")
        if start < 0 or pair[start : start + len(answer)] != answer:
            raise InvalidArgument(FILE, f"an answer of row {number} does not stand at {start} of its context")
        places.add((start, start + len(answer)))
    return tuple(sorted(places))


_LABELS: dict[LabelKind, Callable[[int, Any, str, str], Label]] = {
    LabelKind.CLASS: _class,
    LabelKind.CLASSES: _classes,
    LabelKind.NUMBER: _number,
    LabelKind.ENTITIES: _entities,
    LabelKind.ANSWERS: _answers,
}


def parts_of(number: int, value: Any) -> list[Any]:
    """Returns the parts of a label, a list or the JSON of one."""
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as exc:
            raise InvalidArgument(FILE, f"the label of row {number} is not a JSON list") from exc
    if value is None or value == "":
        return []
    if not isinstance(value, list):
        raise InvalidArgument(FILE, f"the label of row {number} is not a list")
    if len(value) > MAX_PARTS:
        raise InvalidArgument(FILE, f"the label of row {number} has more than {MAX_PARTS} parts")
    return value


def _place(number: int, part: Any, key: str) -> int:
    value = part.get(key) if isinstance(part, dict) else None
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidArgument(FILE, f"a part of the label of row {number} has no {key!r} that is a whole number")
    return value


def number_of(number: int, what: str, value: Any) -> float:
    """Returns a finite number."""
    try:
        result = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        result = math.nan
    if not math.isfinite(result):
        raise InvalidArgument(FILE, f"the {what} of row {number} is not a finite number")
    return result


# Business fields.


def _fields(number: int, cells: Cells, header: Header) -> dict[str, FieldValue]:
    found = {}
    for name, kind in header.fields:
        value = cells[name]
        if not _is_missing(value):
            found[name] = _FIELDS[kind](number, name, value)
    return found


def _flag(number: int, name: str, value: Any) -> FieldValue:
    flag = FLAGS.get(str(value).strip().lower())
    if flag is None:
        raise InvalidArgument(FILE, f"{name} of row {number} is neither true nor false")
    return flag


def _date(number: int, name: str, value: Any) -> str:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if _is_missing(value):
        return ""
    try:
        # Of a date alone, the date: midnight would be a time that nobody said.
        text = str(value).strip()
        return (date if len(text) == len("2026-01-31") else datetime).fromisoformat(text).isoformat()
    except ValueError as exc:
        raise InvalidArgument(FILE, f"{name} of row {number} is not a date or time as in ISO 8601") from exc


_FIELDS: dict[str, Callable[[int, str, Any], FieldValue]] = {
    "NUMBER": number_of,
    "FLAG": _flag,
    "CATEGORY": name_of,
    "DATE": _date,
}
