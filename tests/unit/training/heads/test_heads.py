"""Losses and measures of the heads on one vector for each row."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from symbiont.evaluation import estimates, rows_of
from symbiont.training.data.rows import Row
from symbiont.training.heads import Material, all_heads
from symbiont.training.heads.embedding import Embedding, contrast, cosent, partners
from symbiont.training.heads.pooled import balanced
from symbiont.training.heads.score import Scale, Score
from symbiont.training.resolving_heads import DEFAULTS, KINDS
from symbiont.training.spec import (
    HEADS,
    ClassificationHead,
    EmbeddingHead,
    MultiLabelHead,
    ScoreHead,
)
from symbiont.training.worker.examples import Encoded, Example

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.0, 0.3], [0.0, 1.0, 0.0]])
TRUTH = torch.tensor([0, 2, 1])
ABC = ("a", "b", "c")


def test_every_head_of_a_spec_is_there() -> None:
    assert set(all_heads()) == set(HEADS) == set(KINDS) == set(DEFAULTS)


def test_classes_may_count_alike_and_easy_rows_less() -> None:
    head = all_heads()["classification"]
    plain = head.criterion(ClassificationHead(labels=ABC), TRUTH)(LOGITS, TRUTH)
    assert plain == pytest.approx(functional.cross_entropy(LOGITS, TRUTH).item())
    smooth = head.criterion(ClassificationHead(labels=ABC, label_smoothing=0.2), TRUTH)(LOGITS, TRUTH)
    assert smooth == pytest.approx(functional.cross_entropy(LOGITS, TRUTH, label_smoothing=0.2).item())
    chances = LOGITS.softmax(1)[range(3), TRUTH]
    focal = head.criterion(ClassificationHead(labels=ABC, focal_gamma=2.0), TRUTH)(LOGITS, TRUTH)
    assert focal == pytest.approx(float((-((1 - chances) ** 2) * chances.log()).mean()))
    # Of nine rows of `a`, one of `b` and none of `c`, each row of `a` counts a ninth of the one of `b`.
    rows = torch.tensor([0] * 9 + [1])
    weights = balanced(torch.bincount(rows, minlength=3))
    assert weights.tolist() == pytest.approx([10 / 18, 5.0, 0.0])
    settings = ClassificationHead(labels=ABC, class_weights="CLASS_WEIGHTS_BALANCED")
    each = functional.cross_entropy(LOGITS[:2], torch.tensor([0, 1]), reduction="none")
    expected = float((each * weights[:2]).mean())
    assert head.criterion(settings, rows)(LOGITS[:2], torch.tensor([0, 1])) == pytest.approx(expected)


def test_labels_that_each_hold() -> None:
    head, settings = all_heads()["multi_label"], MultiLabelHead(labels=ABC)
    rows = [Row("x", ("a", "c")), Row("y", ()), Row("z", "b")]
    made = head.material(settings, rows, encode, 8)
    assert made.targets.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    logits = [np.array(row, np.float32) for row in ([1, -1, -1], [-1, -1, -1], [-1, 1, -1])]
    found = dict(head.evaluate(settings, logits, made).metrics)
    assert found["subset_accuracy"] == pytest.approx(2 / 3)
    assert found["micro_f1"] == pytest.approx(2 * 2 / (2 + 3))
    assert found["macro_f1"] == pytest.approx(2 / 3)


def encode(texts: list[str], pairs: list[str] = []) -> list[Encoded]:  # noqa: B006, never changed
    return [Encoded(np.arange(3), number) for number in range(len(texts))]


def test_numbers_are_brought_to_one_scale_and_back() -> None:
    head, rows = Score(), [Row("x", 10.0), Row("y", 14.0)]
    scale = head.fit(ScoreHead(), rows)
    assert scale == Scale(12.0, 2.0, limited=False)
    made = head.material(scale, rows, encode, 8)
    assert made.targets.tolist() == [-1.0, 1.0]
    found = dict(head.evaluate(scale, [np.float32([-1.0]), np.float32([0.5])], made).metrics)
    assert (found["mae"], found["rmse"]) == (pytest.approx(0.5), pytest.approx(0.5**0.5))
    limited = head.fit(ScoreHead(minimum=-4, maximum=4), rows)
    entry = head.entry(limited, 8, "mean")
    assert (entry.link, entry.offset, entry.scale) == ("sigmoid", -4.0, 8.0)
    assert head.fit(ScoreHead(), [Row("x", 3.0)] * 2) == Scale(3.0, 1.0, limited=False)


@pytest.mark.parametrize("labels", [(1.0, 2.0, 3.0), (0.1, 0.1, 0.1)])
def test_who_answers_one_number_has_a_measure(labels: tuple[float, ...]) -> None:
    head, scale = Score(), Scale(3.2, 1.3, limited=False)
    made = head.material(scale, [Row(f"{n}", label) for n, label in enumerate(labels * 20)], encode, 8)
    for answer in np.random.default_rng(0).normal(size=100).astype(np.float32):
        found = dict(head.evaluate(scale, [np.array([answer])] * 60, made).metrics)
        assert (found["pearson"], found["spearman"]) == (0.0, 0.0)


def test_numbers_that_are_all_the_same_are_learnt_as_they_are() -> None:
    assert Score().fit(ScoreHead(), [Row("x", 0.1)] * 50) == Scale(0.1, 1.0, limited=False)


@pytest.mark.parametrize("labels", [1, 2, 3, 4])
def test_a_job_says_of_labels_what_its_report_says(labels: int) -> None:
    head, source = all_heads()["multi_label"], np.random.default_rng(labels)
    settings = MultiLabelHead(labels=tuple("abcd"[:labels]))
    # The last one is neither true nor said, where it is not alone.
    logits = source.normal(size=(40, labels)).astype(np.float32)
    truth = torch.from_numpy((source.random((40, labels)) < 0.4).astype(np.float32))
    if labels > 1:
        logits[:, -1], truth[:, -1] = -9.0, 0.0
    judged = Material([], truth, [Row(f"{n}") for n in range(40)])
    found = dict(head.evaluate(settings, list(logits), judged).metrics)
    rows = rows_of([row.text for row in judged.rows])
    report = estimates(head.outcome(settings, list(logits), judged, rows))
    for name in ("micro_f1", "macro_f1"):
        assert found[name] == pytest.approx(report[name].value)


def test_one_label_that_is_never_said_is_never_right() -> None:
    head, settings = all_heads()["multi_label"], MultiLabelHead(labels=("a",))
    judged = Material([], torch.tensor([[1.0], [0.0], [0.0], [0.0]]), [Row(f"{n}") for n in range(4)])
    found = dict(head.evaluate(settings, [np.float32([-3.0])] * 4, judged).metrics)
    assert (found["micro_f1"], found["macro_f1"], found["subset_accuracy"]) == (0.0, 0.0, 0.75)


def test_classes_that_are_not_there_are_not_missed() -> None:
    head, settings = all_heads()["classification"], ClassificationHead(labels=tuple("abcd"))
    truth = torch.tensor([0, 2] * 10)
    judged = Material([], truth, [Row(f"{n}") for n in range(20)])
    perfect = list(np.eye(4, dtype=np.float32)[truth])
    assert head.evaluate(settings, perfect, judged).macro_f1 == 1.0
    # One that was said has an F1 of 0.
    logits = [*perfect[:-1], np.eye(4, dtype=np.float32)[1]]
    report = estimates(head.outcome(settings, logits, judged, rows_of([row.text for row in judged.rows])))
    macro = head.evaluate(settings, logits, judged).macro_f1
    assert macro == pytest.approx(report["macro_f1"].value)
    assert 0.6 < macro < 0.7


def test_every_row_of_a_class_has_a_partner_of_it() -> None:
    classes = np.array([0, 1, 0, 0, 2, 1])
    found = partners(classes)
    assert (classes[found] == classes).all()
    # Whoever is not alone is not their own.
    assert [row for row in range(6) if found[row] == row] == [4]
    assert (partners(classes) == found).all()


def test_what_belongs_together_is_told_from_the_rest() -> None:
    near = functional.normalize(torch.eye(3) + 0.01, dim=1)
    right = contrast(near, near, None, 0.05)
    wrong = contrast(near, near.roll(1, 0), None, 0.05)
    assert right < 0.01 < 5 < wrong
    # Rows of the same class are not what a row does not belong to.
    same = contrast(near, near.roll(1, 0), torch.tensor([1, 1, 1]), 0.05)
    assert same == pytest.approx(0.0, abs=1e-6)


def test_cosines_are_to_be_in_the_order_of_the_numbers() -> None:
    first = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    second = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert cosent(first, second, torch.tensor([1.0, 0.0]), 0.05) < 1e-6
    assert cosent(first, second, torch.tensor([0.0, 1.0]), 0.05) == pytest.approx(20.0)
    # Nothing to order is nothing to learn, and no error.
    assert cosent(first, second, torch.tensor([1.0, 1.0]), 0.05) == 0.0


def test_vectors_that_are_all_alike_find_nothing() -> None:
    head = Embedding()
    settings = head.fit(EmbeddingHead(size=0), [Row("x", None, "y")])
    rows = [Row("x", None, "y")] * 4
    judged = Material([Example(np.arange(2))] * 4, torch.zeros(4), rows)
    alike = dict(head.evaluate(settings, [np.ones(3, np.float32)] * 8, judged).metrics)
    assert (alike["recall_at_1"], alike["mrr"]) == (0.0, 0.25)
    apart = dict(head.evaluate(settings, [*np.eye(4, dtype=np.float32), *np.eye(4, dtype=np.float32)], judged).metrics)
    assert apart["recall_at_1"] == 1.0
