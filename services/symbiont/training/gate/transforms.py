"""Transforms one after the other, each with what it found. To add one: its settings, its function, a case here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from symbiont.common.sealing import Sealer
from symbiont.training.data.rows import LabelKind, Row
from symbiont.training.gate.anonymize import anonymize
from symbiont.training.gate.balance import balance
from symbiont.training.gate.clean import clean
from symbiont.training.gate.deduplicate import deduplicate
from symbiont.training.gate.findings import Finding, Outcome, numbered
from symbiont.training.gate.settings import (
    Anonymize,
    Balance,
    Clean,
    Deduplicate,
    DropSuspects,
    Message,
    Transform,
)
from symbiont.training.gate.suspects import drop_suspects

# Told which transform runs, from 0, and how many rows it has done.
Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class Step:
    """A transform that was done. `key_id` says by which key, where one was used."""

    transform: Transform
    rows_before: int
    rows_after: int
    changed: int
    findings: tuple[Finding, ...]
    key_id: str = ""


@dataclass(frozen=True)
class Beside:
    """What transforms need beside rows: other datasets by name, and keys by name."""

    datasets: Mapping[str, Sequence[Row]]
    sealers: Mapping[str, Sealer]


def prepare(
    rows: Sequence[Row], kind: LabelKind, transforms: Sequence[Transform], beside: Beside, tell: Tell
) -> tuple[list[Row], list[Step]]:
    """Returns rows after all transforms, with their numbers in `rows` as origin, and what each step did."""
    made, steps = numbered(rows), list[Step]()
    for number, transform in enumerate(transforms):
        tell(number, 0)
        outcome = _do(made, kind, transform.settings, beside, lambda done, number=number: tell(number, done))  # type: ignore[misc]
        steps.append(
            Step(transform, len(made), len(outcome.rows), outcome.changed, outcome.findings, _key_id(transform, beside))
        )
        made = outcome.rows
    return made, steps


def _do(
    rows: Sequence[Row], kind: LabelKind, settings: Message, beside: Beside, tell: Callable[[int], None]
) -> Outcome:
    match settings:
        case Clean():
            return clean(rows, kind, settings)
        case Deduplicate():
            return deduplicate(rows, settings, beside.datasets[settings.against] if settings.against else (), tell)
        case Anonymize():
            return anonymize(rows, kind, settings, beside.sealers.get(settings.key), tell)
        case DropSuspects():
            return drop_suspects(rows, kind, settings)
        case Balance():
            return balance(rows, kind, settings)
    raise TypeError(f"{type(settings).__name__} is no transform")


def _key_id(transform: Transform, beside: Beside) -> str:
    settings = transform.settings
    return beside.sealers[settings.key].key_id if isinstance(settings, Anonymize) and settings.key else ""
