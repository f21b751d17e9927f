"""Words of a text that is read in windows."""

import numpy as np

from symbiont.bundle import EntityHead
from symbiont.common.offsets import OffsetUnit
from symbiont.inference.tasks.entities import entities, words
from symbiont.inference.tasks.plan import Window
from symbiont.inference.tokens import Places
from symbiont.inference.types import BundleInfo

TAGS = ("O", "B-x", "I-x")
TEXT = "unbelievable weather"


def window(*tokens: tuple[int, int, int, str]) -> Window:
    """Made of (word, start, end, tag), between the special tokens."""
    word, start, end, tags = zip((-1, 0, 0, "O"), *tokens, (-1, 0, 0, "O"), strict=True)
    sequences = [-1, *[0] * len(tokens), -1]
    places = Places(*(np.array(column, np.int32) for column in (sequences, word, start, end)))
    logits = np.array([[9.0 * (tag == of) for of in TAGS] for tag in tags], np.float32)
    return Window(logits.reshape(-1), np.zeros(len(tags), np.int32), places)


def test_a_window_that_begins_within_a_word_gives_no_second_word() -> None:
    head = EntityHead(hidden_size=4, num_labels=3)
    bundle = BundleInfo(head, TAGS, 1.0, "a" * 64, "c" * 64, 8)
    whole = window((0, 0, 2, "B-x"), (0, 2, 9, "B-x"), (0, 9, 12, "B-x"))
    rest = window((0, 2, 9, "I-x"), (0, 9, 12, "O"), (1, 13, 20, "B-x"))
    for windows in ([whole, rest], [rest, whole]):
        found = words(windows, bundle)
        assert [(word.start, word.end, word.tag) for word in found] == [(0, 12, "B-x"), (13, 20, "B-x")]
        named = entities(found, TEXT, OffsetUnit.CODE_POINT)
        assert [(entity.text, entity.start, entity.end) for entity in named] == [
            ("unbelievable", 0, 12),
            ("weather", 13, 20),
        ]
