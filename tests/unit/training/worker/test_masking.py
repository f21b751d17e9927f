"""What is hidden follows from seed, pass and row; special tokens never are; words are whole where asked."""

from collections import Counter

import numpy as np
import pytest

from symbiont.training.vocabulary import Vocabulary
from symbiont.training.worker.examples import Encoded
from symbiont.training.worker.masking import SKIP, MaskedText, Masking

IDS = {"[MASK]" if number == 4 else str(number): number for number in range(1000)}
VOCABULARY = Vocabulary(IDS, frozenset(range(5)), 1)
SPECIAL = (2, 3)


def text(size: int, word_size: int = 1) -> Encoded:
    """A text of different tokens between two special ones."""
    ids = np.array([2, *range(10, 10 + size), 3], np.int64)
    sequences = np.array([-1, *[0] * size, -1])
    words = np.array([-1, *(i // word_size for i in range(size)), -1])
    return Encoded(ids, 0, 0, sequences, words)


def same(one: MaskedText, other: MaskedText) -> bool:
    return np.array_equal(one.ids, other.ids) and np.array_equal(one.truth, other.truth)


def test_it_is_a_function_of_seed_pass_and_row() -> None:
    texts = [text(40)] * 3
    masking, again = Masking(VOCABULARY, 0.15, 7), Masking(VOCABULARY, 0.15, 7)
    # In whatever order, and however often.
    rows = again.learnt(texts, 1)
    for row in (2, 0, 2, 1):
        assert same(masking.learnt(texts, 1)[row], rows[row])
    first = masking.learnt(texts, 1)[0]
    others = [
        masking.learnt(texts, 1)[1],
        masking.learnt(texts, 0)[0],
        masking.judged(texts)[0],
        Masking(VOCABULARY, 0.15, 8).learnt(texts, 1)[0],
    ]
    assert not any(same(first, other) for other in others)
    assert same(masking.judged(texts)[0], again.judged(texts)[0])
    assert [len(row) for row in rows[:2]] == [42, 42]


def test_eight_of_ten_become_the_mask_one_another_token_one_stays() -> None:
    fates: Counter[str] = Counter()
    for row in Masking(VOCABULARY, 0.15, 0).learnt([text(100)] * 400, 0):
        chosen = row.truth != SKIP
        assert chosen.sum() == 15
        assert not chosen[[0, -1]].any()
        assert np.array_equal(row.ids[~chosen], text(100).ids[~chosen])
        assert np.array_equal(row.truth[chosen], text(100).ids[chosen])
        fates.update(
            "mask" if now == 4 else "stays" if now == was else "other"
            for now, was in zip(row.ids[chosen], row.truth[chosen], strict=True)
        )
        assert not set(row.ids[chosen]) & set(SPECIAL)
    # 6000 tokens: one in a thousand is beyond these on either side.
    assert [fates[fate] / 6000 for fate in ("mask", "other", "stays")] == pytest.approx([0.8, 0.1, 0.1], abs=0.02)


@pytest.mark.parametrize(("size", "masked"), [(0, 0), (1, 1), (3, 1), (10, 2), (100, 15)])
def test_one_token_at_least_is_hidden(size: int, masked: int) -> None:
    (row,) = Masking(VOCABULARY, 0.15, 0).judged([text(size)])
    assert (row.truth != SKIP).sum() == masked


def test_whole_words_are_hidden_up_to_the_same_share() -> None:
    masking = Masking(VOCABULARY, 0.2, 0, whole_words=True)
    for row in masking.learnt([text(60, word_size=3)] * 20, 0):
        words = (row.truth[1:-1] != SKIP).reshape(20, 3)
        assert np.array_equal(words.all(1), words.any(1))
        assert words.all(1).sum() == 4
    # A word that is longer than the share is hidden all the same, when nothing else is.
    (row,) = masking.judged([text(5, word_size=5)])
    assert (row.truth != SKIP).sum() == 5
