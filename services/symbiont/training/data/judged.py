"""Held-out rows as an evaluation knows them: by their places, and by what kinds of row they are."""

from collections.abc import Sequence

from symbiont.common.languages import scripts
from symbiont.evaluation.rows import Rows, SliceValue, rows_at
from symbiont.training.data.rows import Row

# Names of the scripts that most texts are in; of others ISO 15924's code is shown.
SCRIPTS = {"Latn": "Latin", "Hani": "Chinese"}
# Of an ISO 8601 time or date, the year.
_YEAR = 4


def judged_rows(rows: Sequence[Row], tokens: Sequence[int]) -> Rows:
    """Returns stored rows without their texts; `tokens` is the length of each."""
    found = {name: values for name, values in _slices(rows).items() if len(set(values)) > 1}
    return rows_at([row.place for row in rows], tokens=tokens, groups=[row.group for row in rows], slices=found)


def _slices(rows: Sequence[Row]) -> dict[str, Sequence[SliceValue]]:
    """Returns what rows differ by, beside their labels: business fields (of dates the year), year and script."""
    names = sorted({name for row in rows for name in row.fields})
    dates = {name for name in names if all(_is_date(row.fields.get(name)) for row in rows)}
    slices: dict[str, Sequence[SliceValue]] = {
        name: [_short(row.fields.get(name), name in dates) for row in rows] for name in names
    }
    slices.setdefault("year", [row.time[:_YEAR] or None for row in rows])
    slices.setdefault("script", [_script(row.text) for row in rows])
    return slices


def _short(value: SliceValue, is_date: bool) -> SliceValue:
    return value[:_YEAR] if is_date and isinstance(value, str) else value


def _is_date(value: SliceValue) -> bool:
    return value is None or (isinstance(value, str) and value[:_YEAR].isdigit() and value[_YEAR : _YEAR + 1] == "-")


def _script(text: str) -> str | None:
    found = scripts([text])
    return SCRIPTS.get(found[0].code, found[0].code) if found else None
