"""Business fields beside a text, as a manifest describes them, and how they become numbers for a head."""

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


BusinessField = Annotated[NumberField | FlagField | CategoryField, Field(discriminator="kind")]
