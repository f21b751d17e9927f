"""What the gate tells of rows. Loads nothing: the service has these, and leaves the work to a process."""

from dataclasses import dataclass

from symbiont.training.gate.findings import Finding
from symbiont.training.gate.settings import Strategy


@dataclass(frozen=True)
class Leak:
    """Something that gives labels away.

    Attributes:
        kind: FIELD, TEXT_EDGE or LABEL_IN_TEXT.
        name: of the field, `beginning` or `end` of the text, or the label.
        accuracy: share of rows that this alone is right on, judged on others than it was learned from; of LABEL_IN_TEXT
            the share of the class's texts with its word.
        majority: share of rows that the most frequent label alone is right on; of LABEL_IN_TEXT that of other texts.
    """

    kind: str
    name: str
    accuracy: float
    majority: float


@dataclass(frozen=True)
class Shift:
    """Rows that the other dataset calls `label` are what this one calls `means`; `share` of them, 0 to 1."""

    label: str
    means: str
    share: float


@dataclass(frozen=True)
class Suspect:
    """A row that may have a wrong label.

    Attributes:
        row: its place in the sequence that was looked at.
        given: the label that it has.
        suggested: the one that the model holds most likely.
        given_probability: what the model gives the first, 0 to 1.
        suggested_probability: what it gives the second.
        confident: whether confident learning counts it as an error; else only near rows speak against it.
        near: place of a row that is near and has another label; -1 where there is none.
    """

    row: int
    given: str
    suggested: str
    given_probability: float
    suggested_probability: float
    confident: bool
    near: int = -1


@dataclass(frozen=True)
class Report:
    """What rows are like.

    Attributes:
        row_count: how many there are.
        findings: by code, of texts (TOO_SHORT, TOO_LONG), equal and near rows, contradictions, PII_<KIND>, and what is
            in the other dataset, too.
        languages: (ISO 639-1, rows), the most frequent first.
        labels: (label, rows), by label.
        imbalance: rows of the most frequent label over those of the rarest; 0 where there are no labels.
        leaks: what gives labels away.
        suspects: rows whose label is likely wrong, most suspect first.
        shifts: labels that mean another one in the other dataset.
    """

    row_count: int
    findings: tuple[Finding, ...]
    languages: tuple[tuple[str, int], ...]
    labels: tuple[tuple[str, int], ...]
    imbalance: float
    leaks: tuple[Leak, ...]
    suspects: tuple[Suspect, ...]
    shifts: tuple[Shift, ...]


@dataclass(frozen=True)
class Suggestion:
    """A row to look at.

    Attributes:
        row: its number in the dataset.
        reason: UNCERTAIN, SUSPECT or DIVERSE.
        label: what a cheap model holds most likely; empty where there was nothing to learn from.
        probability: of that label, 0 to 1.
    """

    row: int
    reason: Strategy
    label: str = ""
    probability: float = 0.0
