"""A tokenizer that exists in Python only is served by transformers, exactly, and marked as such."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import ByT5Tokenizer

from symbiont.api.tokenization.v1 import tokenization_pb2 as pb
from symbiont.api.tokenization.v1.tokenization_pb2_grpc import TokenizationServiceStub
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import IntegrityError
from symbiont.tokenization import library

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


SPECIAL = {"cls_token": "<cls>", "pad_token": "<pad>", "eos_token": "<eos>", "unk_token": "<unk>"}


def write_esm(folder: Path, config: dict[str, Any], special_tokens: dict[str, Any]) -> Path:
    """Writes an EsmTokenizer whose vocabulary is a file of the folder, and settings that may name another."""
    folder.mkdir()
    (folder / "vocab.txt").write_text("<cls>\n<pad>\n<eos>\n<unk>\nA\nC\n<mask>\n")
    config = {"tokenizer_class": "EsmTokenizer", "model_max_length": 64, **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "special_tokens_map.json").write_text(json.dumps(special_tokens))
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> str:
    """A file that is none of the caller's."""
    (tmp_path / "secret").write_text("<cls>\n<pad>\n<eos>\n<unk>\nsecret\n<mask>\n")
    return str(tmp_path / "secret")


ELSEWHERE = [
    ({}, {"vocab_file": "/"}),
    ({}, {**SPECIAL, "vocab_file": {"content": "/"}}),
    ({"init_inputs": ["/"]}, SPECIAL),
    ({"vocab_file": "/"}, {}),
    ({"fast_tokenizer_files": ["/"]}, {}),
]


def placed(settings: dict[str, Any], path: str) -> dict[str, Any]:
    """Puts a path where settings say "/"."""
    replaced: dict[str, Any] = json.loads(json.dumps(settings).replace('"/"', json.dumps(path)))
    return replaced


@pytest.mark.parametrize(("config", "special_tokens"), ELSEWHERE)
async def test_settings_that_name_a_file_elsewhere_are_refused(
    service: Any, refusal: Any, tmp_path: Path, elsewhere: str, config: Any, special_tokens: Any
) -> None:
    folder = write_esm(tmp_path / "esm", placed(config, elsewhere), placed(special_tokens, elsewhere))
    stub: Any = TokenizationServiceStub(service.channel)
    request = pb.RegisterTokenizerRequest(tokenizer_id="esm", folder=str(folder))
    assert (await refusal(stub.RegisterTokenizer(request)))[:2] == ("INVALID_ARGUMENT", "folder")


@pytest.mark.parametrize(("config", "special_tokens"), ELSEWHERE)
def test_what_is_stored_and_names_a_file_elsewhere_is_not_loaded(
    store: ArtifactStore, tmp_path: Path, elsewhere: str, config: Any, special_tokens: Any
) -> None:
    folder = write_esm(tmp_path / "esm", placed(config, elsewhere), placed(special_tokens, elsewhere))
    fields = {"kind": "tokenizer", "format_version": 1, "max_tokens": 64}
    fields |= {"backend": "transformers", "class": "EsmTokenizer"}
    digest = store.put("tokenizers", {path.name: path for path in folder.iterdir()}, fields)
    with pytest.raises(IntegrityError, match=digest):
        library.TokenizerLibrary(store, 1).get(digest)


@pytest.mark.parametrize(
    "config",
    [
        {"tokenizer_file": None, "vocab_file": None, "init_inputs": []},
        {"vocab_file": "vocab.txt", "additional_special_tokens": ["<mask>"]},
        {"special_tokens_map_file": "/home/me/.cache/special_tokens_map.json", "tokenizer_file": "/home/me/x.json"},
    ],
)
async def test_settings_as_they_are_published_are_taken(service: Any, tmp_path: Path, config: Any) -> None:
    folder = write_esm(tmp_path / "esm", config, {**SPECIAL, "mask_token": {"content": "<mask>", "lstrip": True}})
    stub: Any = TokenizationServiceStub(service.channel)
    made = await stub.RegisterTokenizer(pb.RegisterTokenizerRequest(tokenizer_id="esm", folder=str(folder)))
    assert (made.family, made.vocabulary_size) == ("EsmTokenizer", 7)
    wanted = pb.TokenizeRequest(tokenizer="tokenizers/esm", texts=["A C"])
    assert list((await stub.Tokenize(wanted)).ids) == [0, 4, 5, 2]
