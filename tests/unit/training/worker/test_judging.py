"""Which checkpoint is the best, whatever it is judged by."""

from dataclasses import replace
from math import inf, nan

import numpy as np
import pytest
import torch

from support.registry import tiny_spec
from symbiont.training.data.rows import Row
from symbiont.training.heads import Material
from symbiont.training.heads.score import Scale, Score
from symbiont.training.types import Evaluation
from symbiont.training.worker.judging import Judge
from symbiont.training.worker.network import Network
from symbiont.training.worker.task import Attempt, Task


class Told(Judge):
    """A judge that is told what comes of the rows."""

    def __init__(self, metric: str, values: list[float]) -> None:
        spec = tiny_spec(hyperparameters={"selection_metric": metric})
        attempt = Attempt("job", spec, None, "")  # type: ignore[arg-type]  # no inputs are read
        rows = Material([], torch.zeros(1), [Row("x", 1.0)])
        task = Task(Score(), Scale(0.0, 1.0, limited=False), (), rows, rows)
        super().__init__(Network(torch.nn.Identity(), torch.nn.Identity(), "mean"), attempt, task, [])
        made = task.head.evaluate(task.settings, [np.zeros(1, np.float32)], rows)
        self._found = [replace(made, metrics=((metric, value),)) for value in values]

    def evaluate(self) -> Evaluation:
        return self._found.pop(0)


@pytest.mark.parametrize("metric", ["loss", "spearman"])
def test_a_number_is_better_than_none(metric: str) -> None:
    judge = Told(metric, [nan, 0.5, nan])
    assert [judge.judge(digest) for digest in "abc"] == [inf, 0.5 if metric == "loss" else -0.5, inf]
    assert judge.best_digest == "b"
