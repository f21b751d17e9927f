"""The analysis of texts: words, scripts, languages and lengths, on the writing systems that customers use."""

import math
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbiont.tokenization import analysis
from symbiont.tokenization.analysis import Bin, Figures, LengthReport, Share, count_words, languages, lengths, scripts

ENGLISH = [
    "Where is my order? It was sent three days ago.",
    "Please cancel the invoice and refund the customer.",
    "I cannot log in to my account since this morning.",
    "The package arrived damaged, what should I do?",
    "How can I change the delivery address?",
    "Thank you for the quick answer, it works now.",
    "My credit card was charged twice for the same item.",
    "Do you ship to Canada, and how much does it cost?",
    "The app crashes whenever I open the settings page.",
    "I would like to speak to a manager about this.",
]
CHINESE = [
    "请帮我取消订单，谢谢。",
    "我的快递什么时候到？",
    "退款",
    "你好",
    "商品有质量问题，我要退货。",
    "为什么我的账户被锁定了？",
    "客服态度很好，物流也很快。",
    "我的 iPhone 屏幕坏了，可以维修吗？",
    "請問可以更改送貨地址嗎？",
    "优惠券不能用，显示已过期。",
]
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


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Where is my order? Ça va!", "Latn"),
        ("我的快递什么时候到？", "Hani"),
        ("ください", "Hira"),
        ("コーヒー", "Kana"),
        ("고맙습니다", "Hang"),
        ("Спасибо", "Cyrl"),
        ("مرحبـــا", "Arab"),
        ("שלום", "Hebr"),
        ("ευχαριστώ", "Grek"),
        ("สวัสดี", "Thai"),
        ("नमस्ते", "Deva"),
        ("ᚠᚢᚦ", "Zyyy"),
    ],
)
def test_names_the_script(text: str, code: str) -> None:
    assert scripts([text, EMOJI, "1, 2"]) == [Share(code, 1.0)]


def test_shares_of_scripts_are_over_all_letters_largest_first() -> None:
    assert scripts(["ab我", "cd", "的"]) == [Share("Latn", 4 / 6), Share("Hani", 2 / 6)]


def test_equal_shares_go_by_code() -> None:
    assert [share.code for share in scripts(["aя我"])] == ["Cyrl", "Hani", "Latn"]


@pytest.mark.parametrize("texts", [[], [""], [EMOJI, "4711"]])
def test_without_letters_there_is_no_script(texts: list[str]) -> None:
    assert scripts(texts) == []


@pytest.mark.parametrize("code", ["en", "zh"])
def test_tells_english_from_chinese(code: str) -> None:
    sentences = {"en": ENGLISH, "zh": CHINESE}[code]
    right = sum(languages([sentence]) == [Share(code, 1.0)] for sentence in sentences)
    assert right >= 0.9 * len(sentences)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("ご注文はいつ届きますか。", "ja"),
        ("東京都庁に行きました", "ja"),
        ("コーヒー", "ja"),
        ("주문을 취소해 주세요", "ko"),
        ("مرحبا بالعالم، كيف حالك؟", "ar"),
        ("Wo ist meine Bestellung geblieben?", "de"),
        ("¿Dónde está mi pedido, por favor?", "es"),
        ("Где мой заказ?", "ru"),
        ("", "und"),
        (EMOJI, "und"),
        ("4711", "und"),
        ("ok", "und"),
        ("qzx", "und"),
    ],
)
def test_names_the_language(text: str, code: str) -> None:
    assert languages([text]) == [Share(code, 1.0)]


def test_each_text_counts_once_whatever_its_length() -> None:
    assert languages([ENGLISH[0] * 50, "你好", "退款"]) == [Share("zh", 2 / 3), Share("en", 1 / 3)]


def test_the_start_of_a_text_decides() -> None:
    assert languages(["Where is my order? " * 27 + "我的快递什么时候到？" * 500]) == [Share("en", 1.0)]


def test_codes_have_two_letters() -> None:
    assert {len(label) for label in analysis._identifier().labels} == {2}


def test_threads_that_come_first_together_load_one_model(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    load = analysis.LanguageIdentifier.from_model_file

    def counted(model_file: str, **options: object) -> object:
        calls.append(model_file)
        return load(model_file, **options)

    monkeypatch.setattr(analysis.LanguageIdentifier, "from_model_file", counted)
    analysis._load_identifier.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(languages, [[sentence] for sentence in ENGLISH]))
    assert len(calls) == 1
    assert answers == [languages([sentence]) for sentence in ENGLISH]


@given(texts)
def test_shares_sum_to_one(texts: list[str]) -> None:
    for shares in (scripts(texts), languages(texts)):
        assert shares == [] or math.isclose(sum(share.share for share in shares), 1.0)
        assert [share.share for share in shares] == sorted((share.share for share in shares), reverse=True)
    assert bool(languages(texts)) == bool(texts)


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
