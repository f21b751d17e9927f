"""Retries by the kind of the failure."""

from typing import Any

import pytest

from symbiont.training.retries import delay, judge
from symbiont.training.types import Failure, FailureKind


def row(parts: int = 1, lost: int = 0, batch_size: int = 16, accumulation: int = 1, **spec: Any) -> dict[str, Any]:
    hyper = {"batch_size": batch_size, "accumulation_steps": accumulation}
    return {"micro_batches": parts, "lost_in_a_row": lost, "spec": {"hyperparameters": hyper, **spec}}


@pytest.mark.parametrize("kind", [FailureKind.DATA, FailureKind.CONFIG, FailureKind.CODE])
def test_what_would_fail_again_is_not_tried_again(kind: FailureKind) -> None:
    failure = Failure(kind, "no")
    assert judge(failure, row(), 5).failure == failure


def test_infrastructure_is_tried_up_to_a_limit() -> None:
    failure = Failure(FailureKind.INFRA, "the disk is full")
    assert [judge(failure, row(lost=lost), 4).delay_seconds for lost in range(3)] == [0.0, 1.0, 2.0]
    last = judge(failure, row(lost=3), 4).failure
    assert last == Failure(FailureKind.INFRA, "the disk is full; 4 in a row without a checkpoint are the limit")


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        (row(), 2),
        (row(parts=4, accumulation=4), 8),
        # Once: a second time it is given up.
        (row(parts=2), None),
        (row(parts=8, accumulation=4), None),
        # A batch of one row has no half.
        (row(batch_size=1), None),
        (row(parts=3, batch_size=1, accumulation=3), None),
        # An embedding compares the rows that a rank computes at once: of one there is nothing to learn.
        (row(batch_size=4, embedding={}), 2),
        (row(batch_size=3, embedding={}), None),
        (row(parts=2, batch_size=8, accumulation=2, embedding={}, ranks=2), 4),
        (row(parts=2, batch_size=6, accumulation=2, embedding={}, ranks=2), None),
    ],
)
def test_memory_is_tried_once_with_half_the_batch(given: dict[str, Any], parts: int | None) -> None:
    failure = Failure(FailureKind.OOM, "out of memory")
    verdict = judge(failure, given, 5)
    assert (verdict.failure, verdict.micro_batches) == ((None, parts) if parts else (failure, given["micro_batches"]))


def test_delays_grow_to_a_minute() -> None:
    assert [delay(lost) for lost in (1, 2, 3, 4, 8, 50)] == [0, 1, 2, 4, 60, 60]
