"""What a classifier answered on the rows that judged it: what its answers in use are compared with."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from symbiont.bundle.part import Part

# Equal parts of 0 to 1.
SCORE_BINS = 10

Count = Annotated[int, Field(ge=0)]


class Profile(Part):
    """Counts of rows: by the label that was answered, in the order of the manifest's, and by its probability."""

    labels: tuple[Count, ...] = Field(min_length=1)
    scores: tuple[Count, ...] = Field(min_length=SCORE_BINS, max_length=SCORE_BINS)

    @model_validator(mode="after")
    def _is_of_the_same_rows(self) -> Self:
        if sum(self.labels) != sum(self.scores):
            raise ValueError("scores: must be of as many rows as labels")
        return self


def score_bin(probability: float) -> int:
    """Returns which of `SCORE_BINS` a probability belongs to; 1 to the last."""
    return min(int(probability * SCORE_BINS), SCORE_BINS - 1)
