"""The sections of a recipe that say what is learnt, and how."""

from typing import Annotated, Literal

from pydantic import Field

from symbiont.solutions.recipe_rows import Section


class Task(Section):
    """What the model answers."""

    head: Literal["classification", "multi-label", "score", "entities", "spans", "embedding"] = "classification"
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
