"""Languages and scripts, on the writing systems that customers use."""

import math
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbiont.common import languages as module
from symbiont.common.languages import Share, languages, scripts

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
    assert {len(label) for label in module._identifier().labels} == {2}


def test_threads_that_come_first_together_load_one_model(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    load = module.LanguageIdentifier.from_model_file

    def counted(model_file: str, **options: object) -> object:
        calls.append(model_file)
        return load(model_file, **options)

    monkeypatch.setattr(module.LanguageIdentifier, "from_model_file", counted)
    module._load_identifier.cache_clear()
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
