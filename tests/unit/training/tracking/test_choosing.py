"""The setting `trackers`: words that are known, packages that are there."""

from pathlib import Path

import pytest

from symbiont.training import tracking
from symbiont.training.tracking import Options, make_trackers, parse_trackers, register
from symbiont.training.tracking.mlflow import MLflow
from symbiont.training.tracking.tensorboard import TensorBoard
from symbiont.training.tracking.wandb import WandB


def test_tensorboard_is_always_there_and_comes_once() -> None:
    assert parse_trackers("") == ("tensorboard",)
    assert parse_trackers("tensorboard") == ("tensorboard",)
    assert parse_trackers(" mlflow , wandb,mlflow,") == ("tensorboard", "mlflow", "wandb")


def test_an_unknown_word_is_told_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match="'comet' is not a tracker: choose among mlflow, tensorboard, wandb"):
        parse_trackers("wandb,comet")


def test_a_missing_package_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "find_spec", lambda name: None if name == "mlflow" else object())
    assert parse_trackers("wandb") == ("tensorboard", "wandb")
    with pytest.raises(
        ValueError, match=r"mlflow needs a package that is not installed: pip install 'symbiont\[mlflow"
    ):
        parse_trackers("wandb,mlflow")


def test_each_is_made_of_its_options(tmp_path: Path) -> None:
    made = make_trackers("wandb,mlflow", Options(tmp_path))
    assert {word: type(tracker) for word, tracker in made.items()} == {
        "tensorboard": TensorBoard,
        "wandb": WandB,
        "mlflow": MLflow,
    }


def test_a_word_is_registered_once() -> None:
    with pytest.raises(ValueError, match="'wandb' is registered twice"):
        register("wandb", lambda options: TensorBoard(options.folder), package="wandb", extra="wandb")
