from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from symbiont.client import Classification, ClassProbability, Client, Input, Prediction
from symbiont.common.errors import InvalidArgument
from symbiont.solutions.recipe import Recipe
from symbiont.solutions.warning.replaying import replay

CLASSES = (ClassProbability("negative", 0.9), ClassProbability("positive", 0.1))


class Served:
    """Says that everything is negative."""

    asked = 0

    def predict(self, model: str, inputs: Sequence[Input], top_k: int = 0) -> Any:
        self.asked += 1
        answer = Prediction(Classification(CLASSES, CLASSES[0]), False)
        return SimpleNamespace(predictions=(answer,) * len(inputs), model_version="v", bundle_digest="d")


def recipe_of(**chart: str) -> Recipe:
    rows = {"source": {"file": "news.csv"}, "text": "text", "topic": "topic", "time": "day"}
    values = {"solution": "news", "title": "News", "summary": "s", "data": {"train": [{"file": "x.csv"}]}}
    return Recipe.model_validate({**values, "monitoring": {"chart": chart, "replay": rows}})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines = ["text,topic,day", *(f"bad news,a,2024-01-{day:02}" for day in range(1, 31))]
    (tmp_path / "news.csv").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("window", ["1d", "24h"])
def test_a_chart_by_day_is_tried(folder: Path, window: str) -> None:
    found = replay(cast(Client, Served()), recipe_of(label="negative", window=window), folder, surges=1, replays=2)
    assert (found.figures.topics, found.figures.windows, found.figures.surges) == (1, 30, 2)


def test_another_window_is_refused_before_anything_is_asked(folder: Path) -> None:
    served = Served()
    with pytest.raises(InvalidArgument, match=r"monitoring\.chart\.window: it is 6h, and rows are counted by day"):
        replay(cast(Client, served), recipe_of(label="negative", window="6h"), folder)
    assert not served.asked


def test_a_label_that_the_model_does_not_give_is_refused(folder: Path) -> None:
    with pytest.raises(
        InvalidArgument, match=r"monitoring\.chart\.label: .* 'Negative': say one of negative, positive"
    ):
        replay(cast(Client, Served()), recipe_of(label="Negative"), folder)
