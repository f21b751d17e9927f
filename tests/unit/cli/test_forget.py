"""`symbiont datasets forget` shows what there is, and what became of it; a marked version says so."""

from pathlib import Path
from typing import Any

from symbiont.api.training.v1 import model_pb2
from symbiont.api.training.v1 import training_job_pb2 as pb
from symbiont.cli.render import class_changes


def test_a_dry_run_changes_nothing(call: Any, suite: Any) -> None:
    result = call("datasets", "forget", "ann", "--dry-run")
    assert result.status == 0
    for shown in ("rows", "12", "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …", "m/versions/2", "production", "j1"):
        assert shown in result.out
    assert "nothing was changed" in result.out
    assert suite.state.forgotten == []


def test_it_is_forgotten_and_trained_again(call: Any, suite: Any) -> None:
    result = call("datasets", "forget", "ann", "--retrain")
    assert suite.state.forgotten == ["ann"]
    assert "222222222222" in result.out
    assert "j9" in result.out
    assert "it starts from models/m/versions/2" in result.out
    assert "serve on until you replace them" in result.out
    assert "nothing is stored of this subject" in call("datasets", "forget", "ann").out


def test_a_marked_version_says_so(call: Any, suite: Any) -> None:
    name = "models/m/versions/1"
    version = model_pb2.ModelVersion(name=name, trained_on_erased=True)
    alias = model_pb2.ModelAlias(alias="production", model_version=version)
    suite.state.models["models/m"] = model_pb2.Model(name="models/m", latest_version=1, aliases=[alias])
    suite.state.versions[name] = version
    shown = call("models", "show", "m").out
    assert "learnt rows that were erased" in " ".join(shown.split())
    assert "production serves a version that learnt rows erased since" in " ".join(shown.split())


def test_training_on_from_a_version(call: Any, suite: Any, rows: Path) -> None:
    call("datasets", "create", "rows", str(rows))

    def sent(*flags: str) -> pb.TrainingSpec:
        assert call("train", "m", "-d", "rows", "-b", "minilm", *flags).status == 0
        return list(suite.state.jobs.values())[-1].spec

    spec = sent("--start-from", "m/versions/2", "--replay", "--allow-new-labels")
    assert (spec.start_from, spec.allow_new_labels) == ("models/m/versions/2", True)
    assert spec.HasField("replay")
    assert spec.replay == pb.Replay()
    assert spec.WhichOneof("method") is None
    spec = sent(
        "--start-from", "m@staging", "--replay-dataset", "old", "--replay-rows", "50", "--accept-changed-labels"
    )
    assert spec.start_from == "models/m/aliases/staging"
    assert spec.replay == pb.Replay(dataset="datasets/old", rows=50)
    assert spec.accept_changed_labels
    assert sent("--start-from", "m", "--replay-fraction", "0.5").replay == pb.Replay(fraction=0.5)
    result = call("train", "m", "-d", "rows", "-b", "minilm", "--replay-fraction", "0.5", "--replay-rows", "5")
    assert "exclude each other" in result.err


def test_classes_are_shown_with_the_most_fallen_first() -> None:
    changes = [
        pb.ClassChange(label="a", row_count=4, metric="recall", before=0.5, after=0.75, low=0.1, high=0.4),
        pb.ClassChange(label="b", row_count=9, metric="recall", before=0.75, after=0.25, low=-0.7, high=-0.3),
    ]
    shown = class_changes(pb.Evaluation(class_changes=changes))
    assert list(shown.columns[0].cells) == ["b", "a"]
    assert ["worse" in str(cell) for cell in shown.columns[-1].cells] == [True, False]
