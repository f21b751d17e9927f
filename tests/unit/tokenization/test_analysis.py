"""The analysis of texts: words and lengths, on the writing systems that customers use."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbiont.tokenization.analysis import Bin, Figures, LengthReport, count_words, lengths

EMOJI = "👩‍👩‍👧 ❤️ 🎉"
texts = st.lists(st.text(st.characters(codec="utf-8"), max_size=40), max_size=20)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        ("  \n", 0),
        (EMOJI, 0),
        ("Where is my order, no. 4711?", 6),
        ("don't", 2),
        ("x2 snake_case", 3),
        ("我的快递什么时候到？", 9),
        ("我的 iPhone15 坏了", 5),
        ("コーヒーをください", 9),
        ("고맙습니다", 5),
        ("مرحبا بالعالم، كيف حالك؟", 4),
        ("नमस्ते दुनिया", 2),
        ("cafe\u0301 au lait", 3),
        ("㈱ ★ ½", 1),
    ],
)
def test_counts_words(text: str, words: int) -> None:
    assert count_words(text) == words


@pytest.mark.parametrize("text", ["고맙습니다", "ガラスが", "Ça déjà vu", "ἄνθρωπος"])
def test_both_unicode_forms_have_as_many_words(text: str) -> None:
    assert count_words(unicodedata.normalize("NFD", text)) == count_words(unicodedata.normalize("NFC", text))


@given(texts)
def test_words_are_at_most_as_many_as_characters(texts: list[str]) -> None:
    assert all(count_words(text) <= len(text) for text in texts)


def test_figures() -> None:
    figures = Figures(words=4, tokens=6, unknown=3)
    assert (figures.tokens_per_word, figures.unknown_rate) == (1.5, 0.5)
    # Emoji are tokens without being words.
    assert Figures(words=0, tokens=2, unknown=2).tokens_per_word == 0.0
    assert Figures(words=0, tokens=0, unknown=0).unknown_rate == 0.0


def test_reports_lengths() -> None:
    report = lengths([20, 8, 9, 3], max_tokens=8)
    assert report.bins == (Bin(8, 2), Bin(16, 1), Bin(32, 1))
    assert (report.median, report.p95, report.longest) == (8, 20, 20)
    assert report.truncation_rate == 0.5
    assert report.lost_token_rate == 13 / 40


def test_ranks_are_nearest() -> None:
    report = lengths(range(1, 101), max_tokens=100)
    assert (report.median, report.p95, report.longest) == (50, 95, 100)
    assert (report.truncation_rate, report.lost_token_rate) == (0.0, 0.0)
    assert lengths([1, 2, 3], max_tokens=3).median == 2


def test_reports_without_texts_or_tokens() -> None:
    assert lengths([], max_tokens=8) == LengthReport((), 0, 0, 0, 0.0, 0.0)
    assert lengths([0, 0], max_tokens=8) == LengthReport((Bin(8, 2),), 0, 0, 0, 0.0, 0.0)


@given(st.lists(st.integers(0, 10_000), max_size=200), st.integers(1, 1024))
def test_bins_hold_every_text(counts: list[int], max_tokens: int) -> None:
    report = lengths(counts, max_tokens)
    assert sum(b.texts for b in report.bins) == len(counts)
    assert [b.up_to for b in report.bins] == [8 << i for i in range(len(report.bins))]
    below = 0
    for b in report.bins:
        assert b.texts == sum(below < n <= b.up_to or (n == below == 0) for n in counts)
        below = b.up_to
    if counts:
        # The last bin is needed.
        assert report.bins[-1].texts > 0
        assert sum(n <= report.median for n in counts) * 2 >= len(counts)
        assert sum(n <= report.p95 for n in counts) * 100 >= 95 * len(counts)
        assert report.truncation_rate == sum(n > max_tokens for n in counts) / len(counts)
    lost = sum(max(0, n - max_tokens) for n in counts)
    assert report.lost_token_rate == (lost / sum(counts) if lost else 0.0)
