"""The sections of a recipe that say how it is served, and what is watched then."""

from typing import Annotated, Literal

from pydantic import Field

from symbiont.solutions.recipe_rows import Identifier, Section, Share, Source


class Reject(Section):
    """When a model says that a text is none of its business."""

    label: str
    """What it says then; a label of the rows to judge by, at least."""
    below: Share
    """It says so where its best probability is below this."""


class HandOver(Section):
    """When a person sees to a row, because the model is not sure enough."""

    below: Share
    """Its best probability is below this; of a catalogue, the cosine of the best entry."""


class Release(Section):
    """How a version takes over where another one serves; see `symbiont models canary --help`."""

    weight: Annotated[int, Field(ge=0, le=100)] = 0
    """Percent of the calls that it answers."""
    shadow: bool = False
    """Have it compute the other calls too, for comparison."""
    max_error_rate: float | None = None
    max_latency_ratio: float | None = None
    max_label_shift: float | None = None
    min_samples: int = 500


class CatalogueSource(Section):
    """Texts that queries are matched with."""

    id: Identifier
    """Its id."""
    source: Source
    """The file of its entries."""
    key: str
    """Column, or template, of an entry's id; the label of a row to judge by names the entry that is right."""
    text: str
    """Column, or template, of an entry's text."""


class Serving(Section):
    """How it is served."""

    model: str = ""
    """Id of the model; default: the solution's."""
    alias: Identifier = "production"
    """Alias that callers ask."""
    reject: Reject | None = None
    """Out-of-scope texts."""
    hand_over: HandOver | None = None
    """What is left to a person."""
    reasons: Literal["word", "sentence"] = "word"
    """What `ask` gives as reasons, and the deletion test takes out: words, or of long texts whole sentences."""
    release: Release | None = None
    """How a version takes over; default: at once, as always with a catalogue or a recommendation."""
    catalogue: CatalogueSource | None = None
    """Of an embedding: what queries are matched with."""


class Chart(Section):
    """A control chart of counts by topic; `warning/chart.py` says what is computed."""

    label: str
    """What is counted: rows that the model gives this label."""
    window: Annotated[str, Field(pattern=r"^[1-9][0-9]*[smhd]$")] = "1d"
    """Time of one count; a replay counts by day."""
    weight: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Weight of the newest count in the moving average of what is alarming."""
    memory: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Weight of the newest count in the average of what is usual."""
    sigmas: Annotated[float, Field(gt=0)] = 4.0
    """How many standard deviations above the usual is an alarm."""
    least: Annotated[float, Field(ge=0)] = 3.0
    """Fewer in a window alarm nobody."""
    cool_down: Annotated[int, Field(ge=0)] = 5
    """Windows after an alarm in which the topic gives no other."""
    warm_up: Annotated[int, Field(ge=1)] = 10
    """Windows before a topic can alarm."""


class Replay(Section):
    """Dated rows that the chart is tried on: `symbiont solutions replay`."""

    source: Source
    """The file."""
    text: str
    """Column of the text; with `separator` of several."""
    topic: str
    """Column of the topic."""
    time: str
    """Column of the day or time."""
    separator: str = ""
    """What stands between the texts of a cell."""
    surge: Annotated[float, Field(gt=0)] | None = None
    """Rows a window that a surge put in has at least; default: twice what alarms at all."""


class Monitoring(Section):
    """What is watched once it serves."""

    drift: Annotated[float, Field(gt=0)] = 0.25
    """Population stability index of the answers from which Prometheus alerts."""
    chart: Chart | None = None
    """Early warning: counts by topic."""
    replay: Replay | None = None
    """What the chart is tried on."""
