"""What the commands of studies take and show."""

import io
from pathlib import Path
from typing import Any

import pytest
import typer
from google.protobuf.duration_pb2 import Duration
from rich.console import Console

from symbiont.advisor.advice import Advice, Rung
from symbiont.advisor.bench import Run
from symbiont.advisor.curve import Curve, Point
from symbiont.advisor.rules import Fate
from symbiont.advisor.search import Findings, Found
from symbiont.advisor.trials import trial_of
from symbiont.api.training.v1 import training_job_pb2 as pb
from symbiont.cli.advise import show
from symbiont.cli.search import show as show_search
from symbiont.cli.studies import check_picture, following, seconds_of
from symbiont.client import training_spec

SPEC = training_spec(base_model="tiny", dataset="rows", model="mood")


def run_of(method: str, value: float | None, seconds: int, number: int = 1, **job: Any) -> Run:
    evaluation = pb.Evaluation(row_count=400, metrics={"accuracy": value or 0.0}, primary_metric="accuracy")
    made = pb.TrainingJob(
        name=f"jobs/j{number}",
        evaluation=evaluation,
        model_version=f"models/mood/versions/{number}" if value is not None else "",
        usage=pb.Usage(training_time=Duration(seconds=seconds)),
        **job,
    )
    curve = Curve("accuracy", [Point(10, seconds / 2, 0.6), Point(20, seconds, value or 0.5)], 20, (1000, 15))
    return Run(trial_of("s", method, SPEC), made, curve)


def rung(method: str, value: float, seconds: int, number: int) -> Rung:
    return Rung(method, Fate.TRAINED, (run_of(method, value, seconds, number),))


def advice_of(*rungs: Rung, tolerance: float = 0.5) -> Advice:
    return Advice("mood-advice", "models/mood", "accuracy", tolerance, rungs)


def shown(advice: Advice) -> str:
    out = io.StringIO()
    show(Console(file=out, width=200), advice, None)
    return out.getvalue()


def test_an_advice_is_shown_whole() -> None:
    cut = Rung("adalora", Fate.CUT, (run_of("adalora", None, 20),), "it is behind")
    skipped = Rung("full", Fate.SKIPPED, why="two dearer methods brought little")
    trained = rung("head_only", 0.86, 10, 1), rung("lora", 0.9, 60, 2), rung("houlsby", 0.903, 90, 3)
    said = shown(advice_of(*trained, cut, skipped))
    for words in (
        "ACCURACY",
        "95 % INTERVAL",
        "86.7 % to 92.6 %",
        "15 (1.5 %)",
        "mood/versions/2",
        "cut: it is behind",
        "skipped: two dearer methods brought little",
        "advised: lora (models/mood/versions/2)",
        "lora is the cheapest within 0.5 points of the best: it reaches 90.0, houlsby 90.3 (0.3 more) for 1.5 times",
        "head-only is cheaper and 4.3 points below the best, more than the tolerance.",
        "On 400 held-out rows chance alone moves a figure by about 2.9 points",
        "Best accuracy so far, by seconds of training",
    ):
        assert words in said, words
    # No price, no cost.
    assert "COST" not in said


def test_costs_seeds_and_budgets_are_shown() -> None:
    usage = {"usage": pb.Usage(training_time=Duration(seconds=5), cost=1.25)}
    evaluation = pb.Evaluation(row_count=400, metrics={"accuracy": 0.8}, primary_metric="accuracy")
    job = pb.TrainingJob(evaluation=evaluation, model_version="models/mood/versions/9", **usage)
    job.failure.kind = pb.FAILURE_KIND_BUDGET
    run = Run(trial_of("s", "lora", SPEC), job, Curve("accuracy"))
    said = shown(advice_of(Rung("lora", Fate.TRAINED, (run, run)), rung("head_only", 0.1, 1, 1)))
    assert "COST" in said
    assert "1.25" in said
    assert "lora is the best" in said
    assert "The budget ended lora early" in said
    second = Rung("lora", Fate.TRAINED, (run, run)).sentence("accuracy")
    assert second == "lora: accuracy 80.0 after 5.0 s of training, ended by the budget"


def test_full_is_dear_though_its_training_was_not() -> None:
    reasons = advice_of(rung("lora", 0.9, 60, 1), rung("full", 0.902, 30, 2)).reasons()
    assert reasons[0].startswith("lora is the cheapest within 0.5 points of the best")
    assert any("a copy of the base of its own" in reason for reason in reasons)
    assert not any(
        "copy" in reason for reason in advice_of(rung("lora", 0.9, 6, 1), rung("full", 0.95, 30, 2)).reasons()
    )


def test_without_a_version_it_says_so() -> None:
    failed = Rung("lora", Fate.FAILED, (run_of("lora", None, 3),), "out of memory")
    said = shown(advice_of(failed))
    assert "failed: out of memory" in said
    assert "No method made a version" in said
    assert advice_of(failed).version == ""


def test_a_search_ends_with_the_command_that_trains_the_best_again() -> None:
    found = [
        Found(0, "complete", 0.8, {"learning_rate": 0.0012345}, SPEC, 61.0, "jobs/a", "models/mood/versions/1"),
        Found(1, "pruned", 0.6, {"learning_rate": 1e-6}, SPEC, 5.0, "jobs/b", ""),
        Found(2, "fail", None, {"learning_rate": 0.5}, SPEC, 1.0, "jobs/c", ""),
        Found(3, "complete", 0.9, {"learning_rate": 0.01}, SPEC, 60.0, "jobs/d", "models/mood/versions/2"),
    ]
    out = io.StringIO()
    show_search(Console(file=out, width=200), Findings("accuracy", found, [run_of("trial-3", 0.9, 60)]), None)
    said = out.getvalue()
    assert [line.split()[0] for line in said.splitlines()[1:5]] == ["3", "0", "1", "2"]
    assert "learning_rate 0.001234" in said
    assert "best: trial 3 (models/mood/versions/2)" in said
    assert "symbiont train mood --base tiny --dataset rows" in said
    assert Findings("accuracy", found[1:3], []).best is None


@pytest.mark.parametrize(("text", "seconds"), [("", None), ("90s", 90), ("30m", 1800), ("1h30m", 5400), ("1.5h", 5400)])
def test_times(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["30", "m", "1 h", "half an hour", "-1m", "0m"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        seconds_of(text)


def test_a_picture_needs_a_place_and_an_ending(tmp_path: Path) -> None:
    check_picture(None)
    check_picture(tmp_path / "race.svg")
    for path in (tmp_path / "race.gif", tmp_path / "nowhere" / "race.png"):
        with pytest.raises(typer.BadParameter):
            check_picture(path)


def test_who_leaves_is_told_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    def leave() -> None:
        with following("mood-advice") as follower:
            follower.begin("lora", pb.TrainingJob(name="jobs/j7"))
            follower.say("so it is")
            raise KeyboardInterrupt

    with pytest.raises(typer.Exit) as left:
        leave()
    assert left.value.exit_code == 130
    said = capsys.readouterr().err
    assert "mood-advice: so it is" in said
    assert "what trains goes on to its end, and nothing new is begun" in said
    assert "lora: j7" in said
    assert "The same command goes on with the study" in said


def test_bad_options_are_named_before_anything_is_asked(call: Any) -> None:
    words = ["mood", "--base", "tiny", "--dataset", "rows"]
    for arguments, said in (
        (["advise", *words, "--rung", "lore"], "there is no method 'lore'"),
        (["advise", *words, "--rung", "lora"], "one method is no race"),
        (["advise", *words, "--tolerance", "-1"], "--tolerance -1: say 0 to 100 points"),
        (["advise", *words, "--seeds", "0"], "--seeds 0: say 1 to 20"),
        (["advise", *words, "--study", "A b"], "--study 'A b'"),
        (["search", *words], "say what may vary"),
        (["search", *words, "-s", "rank=8..4"], "--search rank=8..4: 4 is not above 8"),
        (["search", *words, "-s", "rank=4,8", "--trials", "0"], "--trials 0: say 1 to 10000"),
        (["search", *words, "-s", "rank=4,8", "--parallel", "99"], "--parallel 99: say 1 to 64"),
    ):
        result = call(*arguments)
        assert result.status == 1, arguments
        assert said in result.err, (said, result.err)
