"""A call is checked before any work, and what was done or refused is counted."""

from concurrent.futures import Executor

import pytest
from prometheus_client import CollectorRegistry

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import InvalidArgument, NotFound
from symbiont.tokenization.library import TokenizerLibrary
from symbiont.tokenization.metrics import TokenizationMetrics
from symbiont.tokenization.tokenization import Limits, Tokenization
from symbiont.tokenization.types import TokenizeCall


class Setting:
    """A store of three tokenizers and the use cases on it, with small limits."""

    def __init__(self, store: ArtifactStore, definitions: dict[str, bytes], executor: Executor) -> None:
        fields = {"kind": "tokenizer", "format_version": 1, "max_tokens": 6}
        put = [
            store.put("tokenizers", {"tokenizer.json": definitions[n]}, fields) for n in ("wordpiece", "bpe", "bare")
        ]
        self.digests = sorted(put)
        self.name = f"tokenizers/{put[0]}"
        self.registry = CollectorRegistry()
        self.library = TokenizerLibrary(store, 4)
        self.tokenization = Tokenization(self.library, Limits(4, 64), TokenizationMetrics(self.registry), executor)

    def counted(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"symbiont_tokenization_{name}", labels)


@pytest.fixture
def setting(store: ArtifactStore, definitions: dict[str, bytes], executor: Executor) -> Setting:
    return Setting(store, definitions, executor)


async def test_a_batch_is_encoded_and_counted(setting: Setting) -> None:
    call = TokenizeCall(setting.name, ["the dog", "the quick brown fox jumps over", "请帮我"])
    encoded = await setting.tokenization.tokenize(call)
    assert len(encoded.lengths) == 3
    assert max(encoded.lengths) == 6
    assert encoded.digest == setting.name.partition("/")[2]
    assert setting.counted("texts_total") == 3
    assert setting.counted("tokens_total") == len(encoded.ids)
    assert setting.counted("truncated_texts_total") == encoded.truncated == 1
    assert setting.counted("batch_size_sum") == 3
    assert setting.counted("encode_seconds_count") == 1


@pytest.mark.parametrize(
    ("texts", "max_tokens", "field", "reason"),
    [
        ([], 0, "texts", "BATCH_EMPTY"),
        (["a"] * 5, 0, "texts", "BATCH_TOO_LARGE"),
        (["a", "b", "c", ""], 0, "texts[3]", "TEXT_EMPTY"),
        (["a", " \n"], 0, "texts[1]", "TEXT_EMPTY"),
        (["a", "好" * 22], 0, "texts[1]", "TEXT_TOO_LONG"),
        (["a"], -1, "max_tokens", "MAX_TOKENS"),
        (["a"], 2, "max_tokens", "MAX_TOKENS"),
        (["a"], 7, "max_tokens", "MAX_TOKENS"),
    ],
)
async def test_bad_input_is_refused_by_field(
    setting: Setting, texts: list[str], max_tokens: int, field: str, reason: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await setting.tokenization.tokenize(TokenizeCall(setting.name, texts, max_tokens))
    assert (caught.value.field, caught.value.reason) == (field, reason)
    assert setting.counted("refusals_total", reason=reason) == 1
    assert setting.counted("texts_total") == 0


async def test_a_wrong_or_unknown_tokenizer_is_refused_and_counted(setting: Setting) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await setting.tokenization.tokenize(TokenizeCall("tokenizers/x", ["a"]))
    assert caught.value.field == "tokenizer"
    with pytest.raises(NotFound):
        await setting.tokenization.tokenize(TokenizeCall(f"tokenizers/{'0' * 64}", ["a"]))
    assert setting.counted("refusals_total", reason="INVALID_ARGUMENT") == 1
    assert setting.counted("refusals_total", reason="NOT_FOUND") == 1


async def test_tokenizers_are_listed_in_pages(setting: Setting) -> None:
    first, token = await setting.tokenization.list(2, "")
    rest, end = await setting.tokenization.list(2, token)
    assert [info.digest for info in (*first, *rest)] == setting.digests
    assert end == ""
    assert await setting.tokenization.get(setting.name) in (*first, *rest)
