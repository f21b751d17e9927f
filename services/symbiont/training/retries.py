"""What is tried again after a failure, and when: by the kind of the failure."""

from dataclasses import dataclass
from typing import Any

from symbiont.training.resolving_heads import LEAST_COMPARED
from symbiont.training.types import Failure, FailureKind

LONGEST_DELAY_SECONDS = 60.0


@dataclass(frozen=True)
class Verdict:
    """What becomes of a job whose attempt failed.

    `failure` ends it; without one it is tried again after `delay_seconds`, with `micro_batches` parts a step.
    """

    micro_batches: int
    delay_seconds: float = 0.0
    failure: Failure | None = None


def judge(failure: Failure, row: Any, max_lost: int) -> Verdict:
    """Judges the failure of a job's current attempt.

    DATA, CONFIG and CODE would fail again. OOM is tried once with half the batch and twice the accumulation, unless
    that leaves an embedding too few rows to compare. INFRA is tried until `max_lost` attempts in a row made no
    checkpoint.
    """
    parts, hyper = row["micro_batches"], row["spec"]["hyperparameters"]
    if failure.kind is FailureKind.INFRA:
        lost = row["lost_in_a_row"] + 1
        if lost < max_lost:
            return Verdict(parts, delay(lost))
        text = f"{failure.message}; {max_lost} in a row without a checkpoint are the limit"
        return Verdict(parts, failure=Failure(FailureKind.INFRA, text))
    if failure.kind is FailureKind.OOM:
        asked = hyper.get("accumulation_steps", 1)
        rows = hyper["batch_size"] * asked
        least = LEAST_COMPARED * row["spec"].get("ranks", 1) if "embedding" in row["spec"] else 1
        if parts == asked and rows // (2 * parts) >= least:
            return Verdict(2 * parts)
    return Verdict(parts, failure=failure)


def delay(lost: int) -> float:
    """Returns the seconds before the attempt after the `lost`-th loss in a row: 0, 1, 2, 4 up to a minute."""
    return 0.0 if lost <= 1 else min(2.0 ** (lost - 2), LONGEST_DELAY_SECONDS)
