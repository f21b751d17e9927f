"""A tokenizer that exists in Python only is served by transformers, exactly, and marked as such."""

from pathlib import Path
from typing import Any

import pytest
from transformers import ByT5Tokenizer

from symbiont.api.tokenization.v1 import tokenization_pb2 as pb
from symbiont.api.tokenization.v1.tokenization_pb2_grpc import TokenizationServiceStub

TEXTS = ["Where is my order?", "请帮我取消订单，谢谢。", "", "👩‍👩‍👧 e\u0301 \x00", "x" * 300]


@pytest.fixture
def oracle() -> Any:
    return ByT5Tokenizer()


@pytest.fixture
async def stub(service: Any, oracle: Any, tmp_path: Path) -> Any:
    """The service, with ByT5's tokenizer registered as `byt5`."""
    oracle.save_pretrained(tmp_path / "byt5")
    stub: Any = TokenizationServiceStub(service.channel)
    request = pb.RegisterTokenizerRequest(tokenizer_id="byt5", folder=str(tmp_path / "byt5"), max_tokens=64)
    await stub.RegisterTokenizer(request)
    return stub


async def test_it_is_marked_and_described(stub: Any, oracle: Any) -> None:
    info = await stub.GetTokenizer(pb.GetTokenizerRequest(name="tokenizers/byt5"))
    assert (info.family, info.slow, info.vocabulary_size) == ("ByT5Tokenizer", True, len(oracle))
    assert (info.pad_id, info.special_tokens_per_text, info.max_tokens) == (0, 1, 64)
    assert "</s>" in [special.token for special in info.special_tokens]


@pytest.mark.parametrize("pairs", [False, True])
async def test_its_rows_are_those_of_transformers(stub: Any, oracle: Any, pairs: bool) -> None:
    options = pb.TokenizeOptions(
        padding=pb.Padding(), outputs=[pb.OUTPUT_ATTENTION_MASK, pb.OUTPUT_TYPE_IDS, pb.OUTPUT_SPECIAL_TOKENS_MASK]
    )
    seconds = list(reversed(TEXTS)) if pairs else []
    request = pb.TokenizeRequest(tokenizer="tokenizers/byt5", texts=TEXTS, pair_texts=seconds, options=options)
    response = await stub.Tokenize(request)
    expected = oracle(
        TEXTS,
        seconds or None,
        max_length=64,
        truncation=True,
        padding=True,
        return_token_type_ids=True,
        return_special_tokens_mask=True,
    )
    flat = {key: [value for row in rows for value in row] for key, rows in expected.items()}
    assert list(response.ids) == flat["input_ids"]
    assert list(response.attention_mask) == flat["attention_mask"]
    assert list(response.type_ids) == flat["token_type_ids"]
    assert list(response.special_tokens_mask) == flat["special_tokens_mask"]


async def test_decode_count_and_vocabulary(stub: Any, oracle: Any) -> None:
    rows = [oracle(text).input_ids for text in TEXTS]
    request = pb.DecodeRequest(
        tokenizer="tokenizers/byt5", ids=[i for row in rows for i in row], lengths=[len(row) for row in rows]
    )
    assert list((await stub.Decode(request)).texts) == [oracle.decode(row, skip_special_tokens=True) for row in rows]
    counts = await stub.CountTokens(pb.CountTokensRequest(tokenizer="tokenizers/byt5", texts=TEXTS))
    assert list(counts.counts) == [len(row) for row in rows]
    found = await stub.LookUpVocabulary(
        pb.LookUpVocabularyRequest(tokenizer="tokenizers/byt5", tokens=["a", "</s>", "no such"], ids=[100, 1])
    )
    assert list(found.ids) == [*oracle.convert_tokens_to_ids(["a", "</s>"]), -1]
    assert list(found.tokens) == oracle.convert_ids_to_tokens([100, 1])


@pytest.mark.parametrize("output", [pb.OUTPUT_OFFSETS, pb.OUTPUT_WORD_IDS, pb.OUTPUT_CUTS])
async def test_what_it_cannot_tell_is_refused(stub: Any, refusal: Any, output: pb.Output) -> None:
    options = pb.TokenizeOptions(outputs=[output])
    told = await refusal(stub.Tokenize(pb.TokenizeRequest(tokenizer="tokenizers/byt5", texts=["a"], options=options)))
    assert told[:2] == ("INVALID_ARGUMENT", "options.outputs")
    assert "slow" in told[2]


async def test_it_cannot_be_derived_from(stub: Any, refusal: Any) -> None:
    request = pb.DeriveTokenizerRequest(tokenizer="tokenizers/byt5", terms=["LPR"])
    assert (await refusal(stub.DeriveTokenizer(request)))[0] == "FAILED_PRECONDITION"
