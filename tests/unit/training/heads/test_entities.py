"""Words get the tags of the parts that they are in, in every window, and tags become parts again."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from symbiont.training.data.rows import Row
from symbiont.training.heads import Material
from symbiont.training.heads.entities import SKIP, Entities, parts, tags
from symbiont.training.spec import EntitiesHead
from symbiont.training.worker.examples import Encoded, Example


def encoded(words: Sequence[tuple[int, int, int]]) -> Encoded:
    """A window of tokens (word, start, end) between two special ones."""
    inner = np.array(words, np.int64).reshape(-1, 3)
    framed = np.concatenate([[[-1, 0, 0]], inner, [[-1, 0, 0]]])
    sequences = np.where(framed[:, 0] < 0, -1, 0)
    return Encoded(np.arange(len(framed)), 0, 0, sequences, framed[:, 0], framed[:, 1], framed[:, 2])


def test_the_first_token_of_a_word_has_its_tag() -> None:
    # "Ann Lee of Xi'an", where Lee is of two tokens.
    item = encoded([(0, 0, 3), (1, 4, 5), (1, 5, 7), (2, 8, 10), (3, 11, 16)])
    assert tags(item, [(0, 7, "PER"), (11, 16, "LOC")]) == [(1, "B-PER"), (2, "I-PER"), (4, "O"), (5, "B-LOC")]
    assert tags(item, []) == [(1, "O"), (2, "O"), (4, "O"), (5, "O")]


def test_parts_side_by_side_are_two() -> None:
    item = encoded([(0, 0, 1), (1, 1, 2), (2, 2, 3)])
    assert tags(item, [(0, 1, "A"), (1, 3, "A")]) == [(1, "B-A"), (2, "B-A"), (3, "I-A")]


def test_a_part_that_cuts_a_word_takes_it() -> None:
    item = encoded([(0, 0, 4), (1, 5, 9)])
    assert tags(item, [(2, 4, "A")]) == [(1, "B-A"), (2, "O")]
    # It does not reach into the next one.
    assert tags(item, [(2, 5, "A")]) == [(1, "B-A"), (2, "O")]
    assert tags(item, [(1, 2, "A"), (2, 9, "B")]) == [(1, "B-A"), (2, "B-B")]


def test_in_a_window_that_begins_within_a_part_it_goes_on() -> None:
    item = encoded([(4, 20, 23), (5, 24, 26)])
    assert tags(item, [(10, 23, "A")]) == [(1, "I-A"), (2, "O")]
    assert tags(item, [(1, 4, "A"), (20, 26, "B")]) == [(1, "B-B"), (2, "I-B")]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["O", "B-A", "I-A", "O"], {(1, 3, "A")}),
        (["B-A", "B-A"], {(0, 1, "A"), (1, 2, "A")}),
        (["I-A", "I-B"], {(0, 1, "A"), (1, 2, "B")}),
        (["B-A", "O", "I-A"], {(0, 1, "A"), (2, 3, "A")}),
        ([], set()),
    ],
)
def test_tags_become_parts(words: list[str], expected: set[tuple[int, int, str]]) -> None:
    assert parts(words) == expected


def judged(best: Sequence[int], truth: Sequence[int]) -> tuple[list[np.ndarray], Material]:
    """One text whose words all have one token: what was found and what is right, as indexes of tags."""
    logits = np.eye(3, dtype=np.float32)[list(best)] * 10
    return [logits], Material([Example(np.arange(len(best)))], torch.tensor([truth]), [Row("x", ())])


def test_a_part_counts_when_it_is_found_whole() -> None:
    head, settings = Entities(), EntitiesHead(labels=("A",))
    assert head.labels(settings) == ("O", "B-A", "I-A")
    whole = head.evaluate(settings, *judged([0, 1, 2, 0], [SKIP, 1, 2, 0]))
    assert dict(whole.metrics)["micro_f1"] == 1.0
    half = head.evaluate(settings, *judged([0, 1, 0, 0], [SKIP, 1, 2, 0]))
    assert dict(half.metrics)["micro_f1"] == 0.0
    assert dict(half.metrics)["word_accuracy"] == pytest.approx(2 / 3)


def test_names_that_are_not_there_are_not_missed() -> None:
    found = Entities().evaluate(EntitiesHead(labels=("A", "B")), *judged([0, 1, 2, 0], [SKIP, 1, 2, 0]))
    assert dict(found.metrics)["macro_f1"] == 1.0
    nothing = Entities().evaluate(EntitiesHead(labels=("A", "B")), *judged([0, 0], [SKIP, 0]))
    assert (dict(nothing.metrics)["micro_f1"], dict(nothing.metrics)["macro_f1"]) == (0.0, 0.0)


def test_of_tokens_without_a_tag_nothing_is_learnt() -> None:
    truth = torch.tensor([[SKIP, 1, SKIP]])
    loss = Entities().criterion(EntitiesHead(labels=("A",)), truth)
    logits = torch.randn(1, 3, 3, requires_grad=True)
    loss(logits, truth).backward()
    assert logits.grad is not None
    assert logits.grad[0, [0, 2]].abs().sum() == 0
    assert logits.grad[0, 1].abs().sum() > 0
