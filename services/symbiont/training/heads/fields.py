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
            mean, deviation = mean_and_deviation([float(value) for value in values])
            return NumberField(name=name, mean=mean, deviation=deviation)
        case "FIELD_KIND_DATE":
            mean, deviation = mean_and_deviation([days_of(str(value))[0] for value in values])
            return DateField(name=name, mean=mean, deviation=deviation)
        case "FIELD_KIND_FLAG":
            return FlagField(name=name)
        case _:
            # By count, then by name: equal rows give equal fields.
            counts = sorted(Counter(map(str, values)).items(), key=lambda item: (-item[1], item[0]))
            return CategoryField(name=name, values=tuple(sorted(value for value, _ in counts[:MOST_CATEGORIES])))


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Returns what numbers are scaled by; of numbers that are all the same the deviation is 1."""
    # Of these numpy's own is not always 0, but what rounding left: any other number would be astronomical beside it.
    if np.ptp(values) == 0:
        return float(values[0]), 1.0
    return float(np.mean(values)), float(np.std(values))


def encode_fields(fields: Sequence[BusinessField], row: Row) -> "np.ndarray[Any, Any]":
    """Returns what the head gets for the fields of a row."""
    encoded: list[float] = []
    for field in fields:
        encoded += field.encode(row.fields.get(field.name))  # type: ignore[arg-type]  # the upload checked their kinds
    return np.array(encoded, np.float32)
