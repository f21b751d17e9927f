"""Business fields beside the text: scaled, or known by name, as the rows to learn from have them."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from symbiont.bundle import BusinessField, CategoryField, DateField, FlagField, NumberField
from symbiont.bundle.fields import days_of
from symbiont.training.data.rows import FieldValue, Row

MOST_CATEGORIES = 256


def fit_fields(columns: Sequence[tuple[str, str]], rows: Sequence[Row]) -> tuple[BusinessField, ...]:
    """Returns how fields (name, kind) are encoded, by what the rows to learn from have; what none has is left out."""
    found = ((name, kind, [row.fields[name] for row in rows if name in row.fields]) for name, kind in columns)
    return tuple(_fit(name, kind, values) for name, kind, values in found if values)


def _fit(name: str, kind: str, values: Sequence[FieldValue]) -> BusinessField:
    match kind:
        case "FIELD_KIND_NUMBER":
            return NumberField(name=name, **_scale([float(value) for value in values]))
        case "FIELD_KIND_DATE":
            return DateField(name=name, **_scale([days_of(str(value))[0] for value in values]))
        case "FIELD_KIND_FLAG":
            return FlagField(name=name)
        case _:
            # By count, then by name: equal rows give equal fields.
            counts = sorted(Counter(map(str, values)).items(), key=lambda item: (-item[1], item[0]))
            return CategoryField(name=name, values=tuple(sorted(value for value, _ in counts[:MOST_CATEGORIES])))


def _scale(values: Sequence[float]) -> dict[str, float]:
    # All the same, they are 0 as they are.
    return {"mean": float(np.mean(values)), "deviation": float(np.std(values)) or 1.0}


def encode_fields(fields: Sequence[BusinessField], row: Row) -> "np.ndarray[Any, Any]":
    """Returns what the head gets for the fields of a row."""
    encoded: list[float] = []
    for field in fields:
        encoded += field.encode(row.fields.get(field.name))  # type: ignore[arg-type]  # the upload checked their kinds
    return np.array(encoded, np.float32)
