"""The section of a recipe that says how what was learnt is judged."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from symbiont.solutions.recipe_rows import Section

BaselineName = Literal["majority", "tfidf", "trees", "vader", "snownlp", "popularity", "als", "overlap", "dictionary"]


class Gate(Section):
    """What a version must keep to be promoted; see `symbiont models gate --help`."""

    floor: dict[str, float] = Field(default_factory=dict)
    """Bounds by metric."""
    not_worse: float | None = None
    """The metric falls by no more than this against what serves."""
    gain: float | None = None
    """The metric rises by at least this."""
    metric: str = ""
    """What falls and rises; default: what stands for the task."""
    slice_floor: float | None = None
    slice_worse: float | None = None
    class_worse: float | None = None
    max_ece: float | None = None
    """Largest expected calibration error."""
    max_p99_ms: float | None = None
    """Most milliseconds of 99 in 100 answers of one row."""
    approvals: Annotated[int, Field(ge=0, le=5)] = 0
    """People beside the one who promotes who must approve."""


class Published(Section):
    """A figure of others to be read beside ours."""

    metric: str
    value: float
    source: str
    """Which model, which rows, where it stands."""


class Bar(Section):
    """What the solution sets out to reach."""

    metric: str
    at_least: float | None = None
    """The value itself."""
    above_baseline: float | None = None
    """How far above a baseline; with `relative` as a share of it."""
    baseline: BaselineName | None = None
    relative: bool = False

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.at_least is None) == (self.above_baseline is None):
            raise ValueError("say `at_least`, or `above_baseline` with its `baseline`")
        if self.above_baseline is not None and self.baseline is None:
            raise ValueError("`above_baseline` needs the `baseline` that it is above")
        return self


class Evaluation(Section):
    """How it is judged by what was served, and what it must keep to be promoted."""

    baselines: tuple[BaselineName, ...] = ()
    """What else is judged on the same rows."""
    gate: Gate = Gate()
    """What a version must keep to be promoted."""
    published: tuple[Published, ...] = ()
    """Figures of others."""
    bars: tuple[Bar, ...] = ()
    """What it sets out to reach."""
    deletion_test: Annotated[int, Field(ge=0)] = 0
    """Rows whose most telling word, or sentence, is taken out, and their most telling business field, against any at
    random: explanations must tell the two apart."""
