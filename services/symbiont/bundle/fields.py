"""Business fields beside a text, as a manifest describes them, and how they become numbers for a head."""

import math
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import Field

from symbiont.bundle.part import Part


class _Field(Part):
    name: str = Field(min_length=1, max_length=63)


class NumberField(_Field):
    """A number; it reaches the head as `(value - mean) / deviation` and 0, or, where it is missing, as 0 and 1."""

    kind: Literal["number"] = "number"
    mean: float
    deviation: float = Field(gt=0)

    @property
    def width(self) -> int:
        """How many values the head gets."""
        return 2

    def encode(self, value: float | None) -> tuple[float, ...]:
        """Returns what the head gets for a value, or for None where it is missing."""
        return (0.0, 1.0) if value is None else ((value - self.mean) / self.deviation, 0.0)


class FlagField(_Field):
    """Yes or no; it reaches the head as 1 or 0 and 0, or, where it is missing, as 0 and 1."""

    kind: Literal["flag"] = "flag"

    @property
    def width(self) -> int:
        """How many values the head gets."""
        return 2

    def encode(self, value: bool | None) -> tuple[float, ...]:
        """Returns what the head gets for a value, or for None where it is missing."""
        return (0.0, 1.0) if value is None else (float(value), 0.0)


class CategoryField(_Field):
    """One of the values seen in training, one-hot; a missing or unknown one is all zeros."""

    kind: Literal["category"] = "category"
    values: tuple[str, ...] = Field(min_length=1)

    @property
    def width(self) -> int:
        """How many values the head gets."""
        return len(self.values)

    def encode(self, value: str | None) -> tuple[float, ...]:
        """Returns what the head gets for a value, or for None where it is missing."""
        return tuple(float(value == known) for known in self.values)


class DateField(_Field):
    """A day, or a time in it; it reaches the head as scaled days, the place in the year, and 0, or as 0, 0, 0 and 1.

    `mean` and `deviation` are of days since 1970. The place in the year is a point on a circle: December is near
    January.
    """

    kind: Literal["date"] = "date"
    mean: float
    deviation: float = Field(gt=0)

    @property
    def width(self) -> int:
        """How many values the head gets."""
        return 4

    def encode(self, value: str | None) -> tuple[float, ...]:
        """Returns what the head gets for a date of ISO 8601, or for None where it is missing.

        Raises:
            ValueError: it is no date.
        """
        if value is None:
            return (0.0, 0.0, 0.0, 1.0)
        days, turn = days_of(value)
        return ((days - self.mean) / self.deviation, math.sin(turn), math.cos(turn), 0.0)


def days_of(value: str) -> tuple[float, float]:
    """Returns the days from 1970 to a date of ISO 8601, and its place in the year as an angle.

    Raises:
        ValueError: it is no date.
    """
    day = datetime.fromisoformat(value)
    days = (day.replace(tzinfo=day.tzinfo or UTC) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() / 86400
    return days, 2 * math.pi * day.timetuple().tm_yday / 365.25


BusinessField = Annotated[NumberField | FlagField | CategoryField | DateField, Field(discriminator="kind")]
