"""What a recipe may say: the typed schema of a solution's YAML file, which editors get as JSON schema."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from symbiont.solutions.recipe_rows import Data, DataGate, Recommendation, Section, Share, Source

Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")]
BaselineName = Literal["majority", "tfidf", "trees", "vader", "snownlp", "popularity", "als", "overlap"]


class Base(Section):
    """The shared base. It is registered where it is not."""

    id: Identifier = "minilm"
    """Its id."""
    package: str = ""
    """Installed package that carries it."""
    folder: str = ""
    """Folder of it, in place of a package."""
    license: str = ""
    """Under what it may be used."""


class Task(Section):
    """What the model answers."""

    head: Literal["classification", "multi-label", "score", "spans", "embedding"] = "classification"
    """The task head."""
    balanced: bool = False
    """Every label counts alike, however few rows it has."""
    label_smoothing: float | None = None
    """Share of certainty that is spread over all labels."""
    minimum: float | None = None
    """Least number answered, of a score."""
    maximum: float | None = None
    """Greatest number answered, of a score."""
    max_answer_tokens: int | None = None
    """Longest answer in tokens, of spans."""
    temperature: float | None = None
    """What cosines are divided by in training, of an embedding."""


class Advise(Section):
    """Race methods, and take the cheapest near the best; see `symbiont advise`."""

    rungs: tuple[str, ...] = Field(default=("head-only", "lora", "houlsby", "full"), min_length=2)
    """Methods to race."""
    tolerance: float = 0.5
    """Points that a cheaper method may be below the best."""


class Method(Section):
    """How it is trained; what is left out gets the service's default. See `symbiont train --help`."""

    name: Literal["lora", "adalora", "houlsby", "bitfit", "prefix", "head-only", "full"] = "lora"
    """What is trained beside the head."""
    advise: Advise | None = None
    """Race methods in place of `name`."""
    holdout_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the rows to learn from by which checkpoints are chosen and probabilities calibrated."""
    rank: int | None = None
    target_modules: tuple[str, ...] | None = None
    size: int | None = None
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    max_tokens: int | None = None
    seed: int = 0
    patience: int | None = None
    checkpoint_interval: int | None = None
    selection_metric: str | None = None
    keep_best: bool | None = None
    bf16: bool = False


class BinaryCosts(Section):
    """What errors cost where one of two labels is to be found."""

    positive_label: str
    """The label to be found."""
    false_positive: float
    """What it costs to answer it where the other is true."""
    false_negative: float
    """What it costs to answer the other where it is true."""


class Development(Section):
    """What is added to the head and the base beyond texts and labels."""

    fields: tuple[str, ...] | Literal["all"] | None = None
    """Business fields of `data.fields` that the head gets."""
    fusion: Literal["concatenated", "gated"] | None = None
    """How fields meet the text."""
    hidden_layers: tuple[int, ...] = ()
    """Widths of layers before the last one."""
    windows: bool = False
    """Read long texts in windows, in place of cutting them."""
    terms: tuple[str, ...] = ()
    """Terms of the domain that become one token each, in a base made of the shared one."""
    costs: BinaryCosts | None = None
    """What errors cost: the model answers the label of the least expected cost."""
    tune_thresholds: bool = False
    """Multi-label: each label holds from the probability of its highest F1."""


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
    """Rows whose most telling word is taken out, against a word at random: explanations must tell the two apart."""


class Reject(Section):
    """When a model says that a text is none of its business."""

    label: str
    """What it says then; a label of the rows to judge by, at least."""
    below: Share
    """It says so where its best probability is below this."""


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
    release: Release | None = None
    """How a version takes over; default: at once."""
    catalogue: CatalogueSource | None = None
    """Of an embedding: what queries are matched with."""


class Chart(Section):
    """A control chart of counts by topic; `warning/chart.py` says what is computed."""

    label: str
    """What is counted: rows that the model gives this label."""
    window: Annotated[str, Field(pattern=r"^[1-9][0-9]*[smhd]$")] = "1d"
    """Time of one count."""
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


class Monitoring(Section):
    """What is watched once it serves."""

    drift: Annotated[float, Field(gt=0)] = 0.25
    """Population stability index of the answers from which Prometheus alerts."""
    chart: Chart | None = None
    """Early warning: counts by topic."""
    replay: Replay | None = None
    """What the chart is tried on."""


class Recipe(Section):
    """A solution."""

    solution: Identifier
    """Its id."""
    title: str
    """What it is called."""
    summary: str
    """What it does, for whom, in a sentence or two."""
    language: Literal["en", "zh", "mixed"] = "en"
    """What texts are written in."""
    base: Base = Base()
    data: Data | None = None
    recommendation: Recommendation | None = None
    gate: DataGate = DataGate()
    task: Task = Task()
    method: Method = Method()
    development: Development = Development()
    evaluation: Evaluation = Evaluation()
    serving: Serving = Serving()
    monitoring: Monitoring = Monitoring()

    @model_validator(mode="after")
    def _where_rows_come_from(self) -> Self:
        if (self.data is None) == (self.recommendation is None):
            raise ValueError("say where rows come from: `data`, or `recommendation`, and not both")
        return self

    @property
    def model(self) -> str:
        """The id of the model."""
        return self.serving.model or self.solution


def json_schema() -> dict[str, Any]:
    """Returns the schema for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Recipe.model_json_schema()}
