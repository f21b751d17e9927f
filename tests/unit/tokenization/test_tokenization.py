"""A call is checked before any work, and what was done or refused is counted."""

import time
from typing import Any

import pytest

from support.tokenizers import NAMES
from symbiont.common.errors import DeadlineExceeded, InvalidArgument, NotFound
from symbiont.common.offsets import OffsetUnit
from symbiont.tokenization.types import Batch, Options, Output, Padding, Settings, Truncation


def batch(texts: list[str], pairs: list[str] | None = None) -> Batch:
    return Batch(texts, pairs or [], sum(len(text.encode()) for text in [*texts, *(pairs or [])]))


async def test_a_batch_is_encoded_and_counted(setting: Any) -> None:
    name = setting.put("wordpiece", 6)
    encoded = await setting.tokenization.tokenize(
        Settings(name), batch(["the movie", "the quick brown fox jumps over", "", " \n"])
    )
    assert encoded.lengths == [4, 6, 2, 2]
    assert encoded.digest == name.partition("/")[2]
    label = {"tokenizer": encoded.digest[:12]}
    assert setting.counted("texts_total", **label) == 4
    assert setting.counted("tokens_total", **label) == len(encoded.ids)
    assert setting.counted("truncated_texts_total", **label) == 1
    assert setting.counted("batch_size_sum", **label) == 4
    assert setting.counted("encode_seconds_count", **label) == 1
    assert setting.counted("queue_seconds_count") == 0
    assert setting.counted("held_bytes") == 0


@pytest.mark.parametrize(
    ("texts", "pairs", "changes", "field", "reason"),
    [
        ([], [], {}, "texts", "BATCH_EMPTY"),
        (["a"] * 9, [], {}, "texts", "BATCH_TOO_LARGE"),
        (["a", "好" * (11 << 10)], [], {}, "texts", "TEXT_TOO_LONG"),
        (["a", "b"], ["c"], {}, "pair_texts", "PAIRS"),
        (["a"], [], {"max_tokens": -1}, "max_tokens", "MAX_TOKENS"),
        (["a"], [], {"max_tokens": 2}, "max_tokens", "MAX_TOKENS"),
        (["a"], ["b"], {"max_tokens": 3}, "max_tokens", "MAX_TOKENS"),
        (["a"], [], {"max_tokens": 17}, "max_tokens", "MAX_TOKENS"),
        (["a " * 99], [], {"truncation": Truncation.REFUSE}, "texts[0]", "TEXT_TOO_LONG"),
        (["a"], [], {"truncation": Truncation.ONLY_SECOND}, "options.truncation", "TRUNCATION"),
        (["a " * 99], ["b"], {"truncation": Truncation.ONLY_SECOND}, "texts[0]", "TEXT_TOO_LONG"),
        (["a"], ["b " * 99], {"truncation": Truncation.ONLY_FIRST}, "pair_texts[0]", "TEXT_TOO_LONG"),
        (["a"], [], {"stride": -1}, "options.windows.stride", "STRIDE"),
        (["a"], [], {"stride": 14}, "options.windows.stride", "STRIDE"),
        (["a"], ["b"], {"stride": 0}, "options.truncation", "TRUNCATION"),
        (["a"], [], {"stride": 0, "truncation": Truncation.REFUSE}, "options.truncation", "TRUNCATION"),
        (
            ["a a a a a a a"],
            ["b " * 99],
            {"stride": 6, "truncation": Truncation.ONLY_SECOND},
            "options.windows.stride",
            "STRIDE",
        ),
        (["a"], [], {"padding": Padding(length=15)}, "options.padding.length", "MAX_TOKENS_OR_PADDING"),
        (["a"], [], {"padding": Padding(length=17)}, "options.padding.length", "MAX_TOKENS"),
        (["a"], [], {"padding": Padding(multiple_of=-1)}, "options.padding.multiple_of", "PADDING"),
        (["a"], [], {"padding": Padding(multiple_of=5000)}, "options.padding.multiple_of", "PADDING"),
    ],
)
async def test_bad_input_is_refused_by_field(
    setting: Any, texts: list[str], pairs: list[str], changes: dict[str, Any], field: str, reason: str
) -> None:
    name = setting.put("wordpiece")
    options = dict(changes)
    maximum = options.pop("max_tokens", 0)
    if reason == "MAX_TOKENS_OR_PADDING":
        maximum, reason = 16, "PADDING"
    with pytest.raises(InvalidArgument) as caught:
        await setting.tokenization.tokenize(Settings(name, maximum, Options(**options)), batch(texts, pairs))
    assert (caught.value.field, caught.value.reason) == (field, reason)
    assert setting.counted("refusals_total", reason=reason) == 1
    assert setting.counted("texts_total", tokenizer=name.partition("/")[2][:12]) is None
    assert setting.counted("held_bytes") == 0


async def test_a_pair_is_refused_where_there_is_no_form_for_it(setting: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await setting.tokenization.tokenize(Settings(setting.put("bare")), batch(["a"], ["b"]))
    assert (caught.value.field, caught.value.reason) == ("pair_texts", "PAIRS")


async def test_a_wrong_or_unknown_tokenizer_is_refused_and_counted(setting: Any) -> None:
    for name in ("", "tokenizers/", "tokenizers/A", "bases/x", "tokenizers/x/y"):
        with pytest.raises(InvalidArgument) as caught:
            await setting.tokenization.tokenize(Settings(name), batch(["a"]))
        assert caught.value.field == "tokenizer"
    for name in (f"tokenizers/{'0' * 64}", "tokenizers/nobody"):
        with pytest.raises(NotFound):
            await setting.tokenization.tokenize(Settings(name), batch(["a"]))
    assert setting.counted("refusals_total", reason="INVALID_ARGUMENT") == 5
    assert setting.counted("refusals_total", reason="NOT_FOUND") == 2


@pytest.mark.parametrize(
    ("ids", "lengths", "field", "reason"),
    [
        ([], [], "ids", "BATCH_EMPTY"),
        ([1, 2, 900], [], "ids[2]", "OUTSIDE_VOCABULARY"),
        ([1, 2, 3], [2], "lengths", "INVALID_ARGUMENT"),
        ([1] * 9, [1] * 9, "lengths", "BATCH_TOO_LARGE"),
    ],
)
async def test_rows_that_cannot_be_decoded(
    setting: Any, ids: list[int], lengths: list[int], field: str, reason: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await setting.tokenization.decode(setting.put("wordpiece"), ids, lengths, keep_special_tokens=False)
    assert (caught.value.field, caught.value.reason) == (field, reason)


async def test_look_ups(setting: Any) -> None:
    name = setting.put("minilm")
    ids, tokens, digest = await setting.tokenization.look_up(name, ["[CLS]", "hello", "信", "no such"], [101, 7592])
    assert (ids, tokens) == ([101, 7592, 1767, -1], ["[CLS]", "hello"])
    assert name == f"tokenizers/{digest}"
    for tokens, ids, field in (([], [], "tokens"), (["a"] * 10_001, [], "tokens"), ([], [1, 30522], "ids[1]")):
        with pytest.raises(InvalidArgument) as caught:
            await setting.tokenization.look_up(name, tokens, ids)
        assert caught.value.field == field


@pytest.mark.parametrize("name", NAMES)
async def test_the_short_way_gives_what_the_long_one_gives(setting: Any, name: str) -> None:
    tokenizer, texts = setting.put(name, 64), ["the movie was great " * 3, "", "服务很好", "a"]
    counted = await setting.tokenization.count(tokenizer, batch(texts), omit_special_tokens=False)
    longest = max(counted.original_lengths)
    for maximum in (longest, longest - 1):
        short, long = [
            await setting.tokenization.tokenize(Settings(tokenizer, maximum, Options(outputs=outputs)), batch(texts))
            for outputs in (frozenset(), frozenset({Output.ATTENTION_MASK}))
        ]
        assert max(short.lengths) == maximum
        assert len(short.ids) == len(long.attention_mask)
        for field in ("digest", "ids", "lengths", "original_lengths", "text_indices"):
            assert list(getattr(short, field)) == list(getattr(long, field)), field


async def test_counts_are_the_lengths_before_any_cut(setting: Any) -> None:
    name = setting.put("minilm", 8)
    texts, pairs = ["hello world", "", "word " * 100], ["a", "b c", ""]
    alone = await setting.tokenization.count(name, batch(texts), omit_special_tokens=False)
    both = await setting.tokenization.count(name, batch(texts, pairs), omit_special_tokens=True)
    assert (alone.original_lengths, both.original_lengths) == ([4, 2, 102], [3, 2, 100])
    assert not alone.ids


async def test_a_report(setting: Any) -> None:
    texts = ["hello world, where is my order?", "请帮我取消订单，谢谢。我的快递什么时候到？", "", "word " * 20]
    report = await setting.tokenization.analyze(setting.put("minilm"), batch(texts), 0)
    assert (report.texts, report.blank, report.max_tokens) == (4, 1, 16)
    assert report.lengths.truncation_rate == 0.5
    assert {share.code for share in report.scripts} == {"Latn", "Hani"}
    assert {"en", "zh"} <= {share.code for share in report.languages}
    assert 0 < report.figures.unknown_rate < 1


async def test_nothing_is_done_after_the_deadline(setting: Any) -> None:
    name = setting.put("wordpiece")
    for texts in (["a"], ["word " * 1000]):
        with pytest.raises(DeadlineExceeded):
            await setting.tokenization.tokenize(Settings(name), batch(texts), expires=time.monotonic() - 1)
    assert setting.counted("dropped_batches_total", reason="EXPIRED") == 2
    assert setting.counted("held_bytes") == 0


async def test_an_answer_that_is_too_large_says_what_to_do(setting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("symbiont.tokenization.rows.MAX_CELLS", 40)
    name = setting.put("wordpiece")
    wanted = Options(outputs=frozenset({Output.OFFSETS}), unit=OffsetUnit.UTF8_BYTE)
    with pytest.raises(InvalidArgument, match="call TokenizeStream") as caught:
        await setting.tokenization.tokenize(Settings(name, 0, wanted), batch(["word " * 12, "word " * 12]))
    assert caught.value.field == "texts"
    padded = Options(padding=Padding(multiple_of=32))
    with pytest.raises(InvalidArgument) as caught:
        await setting.tokenization.tokenize(Settings(name, 0, padded), batch(["a", "b"]))
    assert (caught.value.field, caught.value.reason) == ("options.padding", "ANSWER_TOO_LARGE")


async def test_tokenizers_are_listed_in_pages(setting: Any) -> None:
    names = sorted(setting.put(name) for name in ("wordpiece", "byte_bpe", "bare"))
    first, token = await setting.catalogue.list(2, "")
    rest, end = await setting.catalogue.list(2, token)
    assert [f"tokenizers/{info.digest}" for info in (*first, *rest)] == names
    assert end == ""
    assert await setting.catalogue.get(names[0]) == first[0]
