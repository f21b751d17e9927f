"""Sentences of Chinese and English texts."""

from typing import Any

import pytest

from symbiont.common.sentences import sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It works. Does it? Yes!", ["It works.", "Does it?", "Yes!"]),
        ("天气很好。你去吗？去！", ["天气很好。", "你去吗？", "去！"]),
        ("我们用BERT。It works. 很好", ["我们用BERT。", "It works.", "很好"]),
        # Neither decimals, nor names, nor abbreviations end one: it is all one sentence.
        ("A rate of 0.5 (p = .03), see Fig. 2, J. Smith et al. and e.g. this.", [...]),
        ('He said "stop." Then he left.', ['He said "stop."', "Then he left."]),
        ("他说：“好。”然后走了。", ["他说：“好。”", "然后走了。"]),
        ("one\n\n  two  ", ["one", "two"]),
        ("...", ["..."]),
        ("", []),
        ("  ", []),
    ],
)
def test_sentences(text: str, expected: list[Any]) -> None:
    found = [text[start:end] for start, end in sentences(text)]
    assert found == [text if one is ... else one for one in expected]
