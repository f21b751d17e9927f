"""Cases worked by hand after the official scripts of SQuAD 2.0 and CMRC 2018."""

import numpy as np
import pytest

from support.outcomes import answers, some_rows
from symbiont.common.errors import InvalidArgument
from symbiont.evaluation.bootstrap import point_values
from symbiont.evaluation.making.answers import answered, judge
from symbiont.evaluation.metrics import judging


@pytest.mark.parametrize(
    ("said", "true", "exact", "f1"),
    [
        ("The Eiffel Tower!", ["eiffel tower"], 1, 1),
        ("Eiffel", ["the Eiffel Tower"], 0, 2 / 3),
        ("in Paris, France", ["Paris", "France"], 0, 0.5),
        ("a dog a dog", ["dog"], 0, 2 / 3),
        ("cat", ["dog"], 0, 0),
        ("", [], 1, 1),
        ("", ["dog"], 0, 0),
        ("dog", [], 0, 0),
        ("the", ["a"], 1, 1),
        ("北京大学", ["北京大学。"], 1, 1),
        ("北京大学", ["北京"], 0, 2 * 0.5 / 1.5),
        # What is in common is one run of letters, not all letters that both have.
        ("北大京学", ["北京大学"], 0, 0.25),
        ("1998年", ["1998年6月"], 0, 2 * 2 / (2 + 4)),
        ("《红楼梦》", ["红楼梦"], 1, 1),
        ("BERT模型", ["bert 模型"], 0, 1),
    ],
)
def test_an_answer(said: str, true: list[str], exact: float, f1: float) -> None:
    assert judge(said, true) == pytest.approx((exact, f1))


def test_the_language_can_be_said() -> None:
    assert judge("a b", ["b"], "en") == (1, 1)
    assert judge("a b", ["b"], "zh") == (0, pytest.approx(2 / 3))


def test_the_outcome_of_questions() -> None:
    outcome = answers(60)
    found = point_values(judging(outcome).families(outcome), 60)
    assert found["exact_match"] == pytest.approx(2 / 3)
    assert found["f1"] == pytest.approx((1 + 1 + 0.8) / 3)
    assert outcome.answerable.mean() == pytest.approx(2 / 3)


def test_one_answer_per_row() -> None:
    with pytest.raises(InvalidArgument, match="one entry per row"):
        answered(some_rows(2), ["x"], [["x"], ["y"]])
    with pytest.raises(InvalidArgument, match="confidence"):
        answered(some_rows(2), ["x", "y"], [["x"], ["y"]], confidence=np.ones(1))
