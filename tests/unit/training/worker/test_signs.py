"""Signs that something is wrong: said when seen, once, and not without reason."""

from symbiont.training.types import Progress
from symbiont.training.worker.signs import Signs, of_texts


def progress(step: int, norm: float) -> Progress:
    return Progress(step, 100, 0.1, 0.5, 1e-3, norm, 100.0, 1.0)


def test_rows_that_are_cut_and_classes_out_of_balance() -> None:
    codes = [w.code for w in of_texts([64] * 2 + [10] * 8, ["a"] * 5 + ["b"] * 5, 64)]
    assert codes == ["TEXTS_CUT"]
    (warning,) = of_texts([10] * 22, ["少"] + ["many"] * 21, 64)
    assert warning.code == "CLASS_IMBALANCE"
    assert "'many' has 21 rows and '少' has 1" in warning.text
    assert list(of_texts([10] * 10, ["a"] * 5 + ["b"] * 5, 64)) == []


def test_a_gradient_far_over_the_usual_is_said_once() -> None:
    signs = Signs()
    # Before there is a usual, nothing is far from it.
    said = [w for step in range(8) for w in signs.of_progress(progress(step, 100.0 if step == 0 else 1.0))]
    assert said == []
    (warning,) = signs.of_progress(progress(9, 30.0))
    assert warning.code == "GRADIENT_SPIKE"
    assert "30 times the usual 1" in warning.text
    assert list(signs.of_progress(progress(10, 50.0))) == []


def test_a_metric_that_falls_is_no_loss_below_zero() -> None:
    signs = Signs()
    *_, (warning,) = [list(signs.of_judgement(loss)) for loss in (-0.9, -0.8, -0.7, -0.6)]
    assert "the metric on held-out rows has fallen to 0.6 over 3 checkpoints" in warning.text


def test_a_loss_that_keeps_rising_is_said_once() -> None:
    signs = Signs()
    said = [[w.code for w in signs.of_judgement(loss)] for loss in (0.9, 0.5, 0.6, 0.7, 0.8, 0.9)]
    assert said == [[], [], [], [], ["LOSS_RISING"], []]
    assert all(list(signs.of_judgement(loss)) == [] for loss in (0.5, 0.4, 0.6))
