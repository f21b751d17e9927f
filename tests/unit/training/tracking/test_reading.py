"""What trackers are told: the numbers by their names, the step of everything, and nothing that is quoted."""

from dataclasses import replace

import pytest

from support.registry import tiny_spec
from support.tracked_jobs import evaluation, job, judged, numbered, progress, state
from symbiont.training import types
from symbiont.training.tracking.reading import Steps, numbers_of, parameters_of, without_quotes, words_of
from symbiont.training.types import Budget, JobState, Terms


def test_numbers_have_one_name_in_every_tracker() -> None:
    assert numbers_of(progress(3)) == {
        "train/loss": 0.125,
        "train/learning_rate": 0.25,
        "train/gradient_norm": 1.5,
        "train/tokens_per_second": 2048.0,
    }
    expected = {"evaluation/accuracy": 0.5, "evaluation/loss": 0.25, "evaluation/macro_f1": 0.75}
    assert numbers_of(judged(2, 0.25)) == numbers_of(evaluation(0.25)) == expected
    assert numbers_of(types.Metrics(1, (("peak_memory_bytes", 5.0),))) == {"system/peak_memory_bytes": 5.0}
    assert numbers_of(types.LogLine("32 rows")) == {}


def test_everything_has_the_step_that_it_came_after() -> None:
    saved = types.CheckpointSaved(4, "c" * 64)
    events = numbered(
        *(state(JobState.STARTING), progress(2), judged(4, 0.5), saved, progress(6), types.Warning("X", "y")),
        *(state(JobState.RECOVERING), state(JobState.STARTING), types.LogLine("resuming"), progress(5), evaluation(1)),
    )
    steps = Steps()
    assert [steps.after(event) for event in events] == [0, 2, 4, 4, 6, 6, 6, 4, 4, 5, 5]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the label 'very good' has one row", "the label '…' has one row"),
        ("'好评' has 90 rows and '差评' has 1", "'…' has 90 rows and '…' has 1"),
        ('"it\'s bad" has 1', "'…' has 1"),
        ("'it\\'s bad' has 1", "'…' has 1"),
        ("the gradient's norm is 12 times the run's usual", "the gradient's norm is 12 times the run's usual"),
    ],
)
def test_what_is_quoted_is_struck_out(text: str, expected: str) -> None:
    assert without_quotes(text) == expected


def test_words_are_those_of_states_and_warnings() -> None:
    assert words_of(state(JobState.FAILED, "the label 'x' is unknown")) == (
        "state",
        "FAILED: the label '…' is unknown",
    )
    assert words_of(types.Warning("TEXTS_CUT", "30% are cut")) == ("warning", "TEXTS_CUT: 30% are cut")
    for silent in (progress(1), judged(1, 1), evaluation(1), types.LogLine("x"), types.CheckpointSaved(1, "c")):
        assert words_of(silent) is None


def test_parameters_are_flat_and_have_no_labels() -> None:
    asked = job(terms=Terms("acme", 5, Budget(cost=2.5)))
    found = parameters_of(asked)
    assert found["hyperparameters.weight_decay"] == 0.01
    assert found["lora.rank"] == 8
    assert found["classification.label_count"] == 2
    assert (found["terms.tenant"], found["terms.priority"], found["terms.budget.cost"]) == ("acme", 5, 2.5)
    assert "terms.budget.deadline_seconds" not in found
    assert found["inputs.base_digest"] == "a" * 64
    assert "inputs.evaluation_dataset_digest" not in found
    assert all(isinstance(value, str | int | float | bool) for value in found.values())
    assert "好评" not in str(found)


def test_a_method_without_settings_is_a_parameter_too() -> None:
    found = parameters_of(replace(job(), spec=tiny_spec(head_only={})))
    assert found["head_only"] is True
    assert not any(name.startswith("lora") for name in found)


@pytest.mark.parametrize(
    ("costs", "left"),
    [
        (
            {"cost_matrix": {"costs": [{"truth": "好评", "answer": "差评", "cost": 5}]}},
            {"classification.cost_matrix.cost_count": 1},
        ),
        (
            {"binary_costs": {"positive_label": "好评", "false_positive": 1, "false_negative": 7}},
            {"classification.binary_costs.false_negative": 7},
        ),
    ],
)
def test_costs_name_no_labels(costs: dict[str, object], left: dict[str, object]) -> None:
    spec = tiny_spec(classification={"labels": ["好评", "差评"], **costs})
    found = parameters_of(replace(job(), spec=spec))
    assert found.items() >= left.items()
    assert not any(label in str(found) for label in ("好评", "差评"))
