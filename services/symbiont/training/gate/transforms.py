"""Transforms one after the other, each with what it found. To add one: its settings, its function, a case here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from symbiont.common.sealing import Sealer
from symbiont.training.data.rows import LabelKind, Row
from symbiont.training.gate.anonymize import anonymize
from symbiont.training.gate.balance import balance
from symbiont.training.gate.clean import clean
from symbiont.training.gate.deduplicate import deduplicate
from symbiont.training.gate.findings import Outcome, numbered
from symbiont.training.gate.lineage import Recorded
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
class Beside:
    """What transforms need beside rows: other datasets by name, keys by name, and which business fields are dates."""

    datasets: Mapping[str, Sequence[Row]]
    sealers: Mapping[str, Sealer]
    dates: Sequence[str] = ()


def prepare(
    rows: Sequence[Row], kind: LabelKind, transforms: Sequence[Transform], beside: Beside, tell: Tell
) -> tuple[list[Row], list[Recorded]]:
    """Returns rows after all transforms, with their numbers in `rows` as origin, and what each step did."""
    made, steps = numbered(rows), list[Recorded]()
    for number, transform in enumerate(transforms):
        tell(number, 0)
        outcome = _do(made, kind, transform.settings, beside, lambda done, number=number: tell(number, done))  # type: ignore[misc]
        steps.append(
            Recorded(
                transform.kind,
                transform.settings.model_dump(mode="json", exclude_none=True),
                len(made),
                len(outcome.rows),
                outcome.changed,
                outcome.findings,
                _key_id(transform, beside),
            )
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
            return anonymize(rows, kind, settings, beside.sealers.get(settings.key), tell, beside.dates)
        case DropSuspects():
            return drop_suspects(rows, kind, settings)
        case Balance():
            return balance(rows, kind, settings)
    raise TypeError(f"{type(settings).__name__} is no transform")


def _key_id(transform: Transform, beside: Beside) -> str:
    settings = transform.settings
    return beside.sealers[settings.key].key_id if isinstance(settings, Anonymize) and settings.key else ""
