"""Progress bars on a terminal, lines elsewhere."""

import io

from rich.console import Console

from symbiont.api.training.v1 import training_job_pb2 as pb
from symbiont.cli.watch import BarDisplay, LineDisplay, job_display


def events() -> list[pb.TrainingEvent]:
    progress = pb.Progress(step=5, total_steps=10, loss=0.5, tokens_per_second=1234)
    progress.eta.FromSeconds(61)
    return [
        pb.TrainingEvent(state_change=pb.StateChange(new_state=pb.JOB_STATE_RUNNING)),
        pb.TrainingEvent(progress=progress),
        pb.TrainingEvent(progress=pb.Progress(step=6, total_steps=10)),
        pb.TrainingEvent(checkpoint_saved=pb.CheckpointSaved(step=6)),
        pb.TrainingEvent(state_change=pb.StateChange(new_state=pb.JOB_STATE_RECOVERING, reason="worker [lost]")),
    ]


def test_bars() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120, color_system=None)
    display = job_display(console)
    assert isinstance(display, BarDisplay)
    with display:
        display.follow("a", events())
        display.follow("b", events()[:2])
    text = out.getvalue()
    assert "worker [lost]" in text
    assert "6/10" in text
    assert "loss 0.500  1,234 tokens/s  ETA 0:01:01" in text


def test_lines_are_not_too_many() -> None:
    out = io.StringIO()
    display = job_display(Console(file=out, width=120))
    assert isinstance(display, LineDisplay)
    with display:
        display.follow("a", events())
    assert out.getvalue().splitlines() == [
        "a: running",
        "a: step 5/10 loss 0.500  1,234 tokens/s  ETA 0:01:01",
        "a: recovering (worker [lost])",
    ]
