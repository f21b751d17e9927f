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


class FlagField(_Field):
    """Yes or no; it reaches the head as 1 or 0 and 0, or, where it is missing, as 0 and 1."""

    kind: Literal["flag"] = "flag"

    @property
    def width(self) -> int:
        """How many values the head gets."""
        return 2


class CategoryField(_Field):
    """One of the values seen in training, one-hot; a missing or unknown one is all zeros."""

    kind: Literal["category"] = "category"
    values: tuple[str, ...] = Field(min_length=1)

    @property
    def width(self) -> int:
        """How many values the head gets."""
        return len(self.values)


BusinessField = Annotated[NumberField | FlagField | CategoryField, Field(discriminator="kind")]
