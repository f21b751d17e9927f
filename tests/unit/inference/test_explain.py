"""What is hidden of a text at a time, by tokenizers that mark words and by those that mark spaces."""

from collections.abc import Sequence

import numpy as np
import pytest

from symbiont.inference.explain import Granularity, Shown, hide
from symbiont.inference.tokens import Places

# Word, start and end of each token, as XLM-R's tokenizer has them: a space belongs to the token behind it.
Tokens = Sequence[tuple[int, int, int]]


def hidden(text: str, tokens: Tokens, granularity: Granularity) -> list[tuple[str, list[int]]]:
    """Returns the parts of a text with the places that each leaves out, between two special tokens."""
    words, starts, ends = (np.array([-1, *column, -1], np.int32) for column in zip(*tokens, strict=True))
    sequences = np.array([-1, *[0] * len(tokens), -1], np.int32)
    ids = np.arange(len(sequences), dtype=np.int32)
    row = Shown(ids, 0, Places(sequences, words, starts, ends))
    found = []
    for part in hide([row], [text], granularity):
        left, start = row.without(part.places[0])
        assert start == 0
        found.append((text[part.start : part.end], sorted(set(ids.tolist()) - set(left.tolist()))))
    return found


ENGLISH = "Great sound. The cable broke."
ENGLISH_TOKENS = [(0, 0, 5), (1, 5, 11), (1, 11, 12), (2, 12, 16), (3, 16, 22), (4, 22, 28), (4, 28, 29)]
CHINESE = "质量很好。物流快 ok"
CHINESE_TOKENS = [(0, 0, 2), (1, 2, 4), (2, 4, 5), (3, 5, 7), (4, 7, 8), (5, 8, 11)]


@pytest.mark.parametrize(
    ("text", "tokens", "parts"),
    [
        (ENGLISH, ENGLISH_TOKENS, [("Great sound.", [1, 2, 3]), ("The cable broke.", [4, 5, 6, 7])]),
        (CHINESE, CHINESE_TOKENS, [("质量很好。", [1, 2, 3]), ("物流快 ok", [4, 5, 6])]),
    ],
)
def test_a_sentence_begins_behind_the_space(text: str, tokens: Tokens, parts: list[tuple[str, list[int]]]) -> None:
    assert hidden(text, tokens, Granularity.SENTENCE) == parts


def test_a_word_has_all_of_its_tokens() -> None:
    assert hidden(ENGLISH, ENGLISH_TOKENS, Granularity.WORD) == [
        ("Great", [1]), ("sound.", [2, 3]), ("The", [4]), ("cable", [5]), ("broke.", [6, 7]),
    ]  # fmt: skip


def test_of_chinese_each_token_is_a_word() -> None:
    assert hidden(CHINESE, CHINESE_TOKENS, Granularity.WORD) == [
        ("质量", [1]), ("很好", [2]), ("。", [3]), ("物流", [4]), ("快", [5]), ("ok", [6]),
    ]  # fmt: skip


def window(tokens: Tokens) -> Shown:
    words, starts, ends = (np.array(column, np.int32) for column in zip(*tokens, strict=True))
    return Shown(np.arange(len(words), dtype=np.int32), 0, Places(np.zeros(len(words), np.int32), words, starts, ends))


def test_a_part_is_hidden_in_each_window_that_has_it_though_one_ends_within() -> None:
    windows = [window(ENGLISH_TOKENS[:2]), window(ENGLISH_TOKENS[1:4]), window(ENGLISH_TOKENS[2:])]
    parts = hide(windows, [ENGLISH], Granularity.WORD)
    assert [(ENGLISH[part.start : part.end], part.places) for part in parts] == [
        ("Great", {0: [0]}),
        ("sound.", {0: [1], 1: [0, 1], 2: [0]}),
        ("The", {1: [2], 2: [1]}),
        ("cable", {2: [2]}),
        ("broke.", {2: [3, 4]}),
    ]
    first, second = hide(windows, [ENGLISH], Granularity.SENTENCE)
    assert (first.places, second.places) == ({0: [0, 1], 1: [0, 1], 2: [0]}, {1: [2], 2: [1, 2, 3, 4]})
