"""How a plan is shown."""

import io

import pytest
from rich.console import Console

from symbiont.api.training.v1 import training_job_pb2 as pb
from symbiont.cli.plan import MOST_LABELS, duration, show


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (3900, "1 h 05 min")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_plan_is_shown_whole() -> None:
    plan = pb.TrainingPlan(
        training_time_seconds=pb.Estimate(value=75, low=60, high=100),
        memory_bytes=pb.Estimate(value=1 << 30, low=1 << 29, high=3 << 29),
        texts=pb.TextReport(
            row_count=1234, mean_tokens=20.4, median_tokens=18, p95_tokens=50, max_tokens=400, cut_fraction=0.125
        ),
        labels=[pb.LabelShare(label=f"[b]{n}[/b]", count=100 - n, fraction=0.05) for n in range(MOST_LABELS + 2)],
        total_steps=4321,
        seconds_by_part={"start": 5, "train": 70},
        warnings=[pb.Warning(code="TEXTS_CUT", text="12% of [them]")],
    )
    plan.advice.lora.rank = 8
    plan.advice.reasons.append("Because of [this].")
    out = io.StringIO()
    show(Console(file=out, width=200), plan)
    said = out.getvalue()
    for words in (
        "1 min 15 s (1 min 00 s to 1 min 40 s)",
        "train 1 min 10 s, start 5.0 s",
        "1.00 GiB (0.50 GiB to 1.50 GiB)",
        "4,321",
        "1,234",
        "mean 20, median 18, p95 50, longest 400; 12.5 % are cut",
        "lora, rank 8",
        "Because of [this].",
        "[b]0[/b]",
        "2 more",
        "TEXTS_CUT 12% of [them]",
    ):
        assert words in said
    # No price, no cost.
    assert "cost" not in said
    assert "[b]11[/b]" not in said
    plan.cost.value, plan.cost.low, plan.cost.high = 0.5, 0.4, 0.6
    plan.advice.head_only.SetInParent()
    out = io.StringIO()
    show(Console(file=out, width=200), plan)
    assert "0.5 (0.4 to 0.6)" in out.getvalue()
    assert "head-only" in out.getvalue()
