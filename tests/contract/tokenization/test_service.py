"""symbiont.tokenization.v1 over real gRPC."""

from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tokenizers import Tokenizer

from symbiont.api.tokenization.v1 import tokenization_pb2 as pb
from symbiont.api.tokenization.v1.tokenization_pb2_grpc import TokenizationServiceStub
from symbiont.common.artifacts import ArtifactStore

NAME = "symbiont.tokenization.v1.TokenizationService"
TEXTS = ["Where is my order?", "请帮我取消订单，谢谢。", "order " * 100]


def rows(response: pb.TokenizeResponse) -> list[list[int]]:
    ids = iter(response.ids)
    return [[next(ids) for _ in range(length)] for length in response.lengths]


@pytest.fixture
def stub(service: Any) -> TokenizationServiceStub:
    return TokenizationServiceStub(service.channel)


async def test_a_batch_equals_the_library(stub: Any, tokenizer_digest: str, definition: bytes) -> None:
    oracle = Tokenizer.from_buffer(definition)
    oracle.no_padding()
    oracle.enable_truncation(12)
    request = pb.TokenizeRequest(tokenizer=f"tokenizers/{tokenizer_digest}", texts=TEXTS, max_tokens=12)
    response = await stub.Tokenize(request)
    assert rows(response) == [encoding.ids for encoding in oracle.encode_batch(TEXTS)]
    assert list(response.original_lengths)[2] == 102
    assert response.tokenizer_digest == tokenizer_digest


async def test_tokenizers_are_described(stub: Any, store: ArtifactStore, tokenizer_digest: str) -> None:
    one = await stub.GetTokenizer(pb.GetTokenizerRequest(name=f"tokenizers/{tokenizer_digest}"))
    assert (one.digest, one.family, one.max_tokens) == (tokenizer_digest, "WordPiece", 32)
    assert [t.token for t in one.special_tokens] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    page = await stub.ListTokenizers(pb.ListTokenizersRequest(page_size=1))
    assert (list(page.tokenizers), page.next_page_token) == ([one], "")


GOOD = "tokenizers/{digest}"


@pytest.mark.parametrize(
    ("request_fields", "status", "field"),
    [
        ({"texts": []}, "INVALID_ARGUMENT", "texts"),
        ({"texts": ["a"] * 10_000}, "INVALID_ARGUMENT", "texts"),
        ({"texts": ["a", "x" * (1 << 20)]}, "INVALID_ARGUMENT", "texts"),
        ({"pair_texts": ["b", "c"]}, "INVALID_ARGUMENT", "pair_texts"),
        ({"max_tokens": 3, "pair_texts": ["b"]}, "INVALID_ARGUMENT", "max_tokens"),
        ({"options": {"windows": {"stride": 30}}}, "INVALID_ARGUMENT", "options.windows.stride"),
        ({"options": {"windows": {"stride": -1}}}, "INVALID_ARGUMENT", "options.windows.stride"),
        ({"options": {"truncation": 77}}, "INVALID_ARGUMENT", "options.truncation"),
        ({"options": {"truncation_side": 77}}, "INVALID_ARGUMENT", "options.truncation_side"),
        ({"options": {"offset_unit": 77}}, "INVALID_ARGUMENT", "options.offset_unit"),
        ({"options": {"outputs": [77]}}, "INVALID_ARGUMENT", "options.outputs[0]"),
        ({"options": {"padding": {"multiple_of": 4097}}}, "INVALID_ARGUMENT", "options.padding.multiple_of"),
        ({"options": {"padding": {"length": 31}}, "max_tokens": 32}, "INVALID_ARGUMENT", "options.padding.length"),
        ({"max_tokens": -1}, "INVALID_ARGUMENT", "max_tokens"),
        ({"max_tokens": 2}, "INVALID_ARGUMENT", "max_tokens"),
        ({"max_tokens": 33}, "INVALID_ARGUMENT", "max_tokens"),
        ({"tokenizer": ""}, "INVALID_ARGUMENT", "tokenizer"),
        ({"tokenizer": "tokenizers/Mini LM"}, "INVALID_ARGUMENT", "tokenizer"),
        ({"tokenizer": "tokenizers/nobody"}, "NOT_FOUND", ""),
        ({"tokenizer": f"tokenizers/{'0' * 64}"}, "NOT_FOUND", ""),
        ({"texts": ["a" * (256 << 10)] * 65}, "RESOURCE_EXHAUSTED", ""),
    ],
)
async def test_bad_input(
    stub: Any, refusal: Any, tokenizer_digest: str, request_fields: dict[str, Any], status: str, field: str
) -> None:
    good = {"tokenizer": f"tokenizers/{tokenizer_digest}", "texts": ["a"]}
    told = await refusal(stub.Tokenize(pb.TokenizeRequest(**{**good, **request_fields})))
    assert told[:2] == (status, field)


@pytest.mark.parametrize(
    ("name", "status", "field"),
    [("", "INVALID_ARGUMENT", "name"), ("x", "INVALID_ARGUMENT", "name"), (f"tokenizers/{'0' * 64}", "NOT_FOUND", "")],
)
async def test_bad_names(stub: Any, refusal: Any, name: str, status: str, field: str) -> None:
    assert (await refusal(stub.GetTokenizer(pb.GetTokenizerRequest(name=name))))[:2] == (status, field)


@pytest.mark.parametrize(("fields", "field"), [({"page_size": -1}, "page_size"), ({"page_token": "%"}, "page_token")])
async def test_bad_pages(stub: Any, refusal: Any, fields: dict[str, Any], field: str) -> None:
    told = await refusal(stub.ListTokenizers(pb.ListTokenizersRequest(**fields)))
    assert told[:2] == ("INVALID_ARGUMENT", field)


async def test_a_damaged_tokenizer_is_a_matter_of_state(
    stub: Any, refusal: Any, store: ArtifactStore, tokenizer_digest: str
) -> None:
    (store.root / "tokenizers" / tokenizer_digest / "tokenizer.json").write_bytes(b"{}")
    request = pb.TokenizeRequest(tokenizer=f"tokenizers/{tokenizer_digest}", texts=["a"])
    assert (await refusal(stub.Tokenize(request)))[0] == "FAILED_PRECONDITION"


async def test_reflection_and_health(service: Any) -> None:
    assert NAME in await service.listed_services()
    assert "grpc.health.v1.Health" in await service.listed_services()
    health = health_pb2_grpc.HealthStub(service.channel)
    for name in ("", NAME):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    watch = health.Watch(health_pb2.HealthCheckRequest(service=NAME))
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    await service.lifecycle.health.enter_graceful_shutdown()
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_metrics_count_a_known_load(service: Any, stub: Any, refusal: Any, tokenizer_digest: str) -> None:
    request = pb.TokenizeRequest(tokenizer=f"tokenizers/{tokenizer_digest}", texts=TEXTS)
    answers = [await stub.Tokenize(request) for _ in range(3)]
    await refusal(stub.Tokenize(pb.TokenizeRequest(tokenizer=request.tokenizer)))
    value, label = await service.samples(), {"tokenizer": tokenizer_digest[:12]}
    assert value("symbiont_tokenization_batch_size_count", **label) == 3
    assert value("symbiont_tokenization_texts_total", **label) == 9
    assert value("symbiont_tokenization_tokens_total", **label) == sum(len(answer.ids) for answer in answers)
    assert value("symbiont_tokenization_truncated_texts_total", **label) == 3
    assert value("symbiont_tokenization_refusals_total", reason="BATCH_EMPTY") == 1
    assert value("symbiont_tokenization_batch_size_bucket", le="4.0", **label) == 3
    assert value("symbiont_tokenization_encode_seconds_count", **label) == 3
    # Small batches wait for no thread.
    assert value("symbiont_tokenization_queue_seconds_count") == 0
    assert value("symbiont_tokenization_held_bytes") == 0
    rpc = {"service": "tokenization", "rpc": "Tokenize"}
    assert value("symbiont_rpc_seconds_count", code="OK", **rpc) == 3
    assert value("symbiont_rpc_seconds_count", code="INVALID_ARGUMENT", **rpc) == 1
    assert value("symbiont_rpc_started_total", **rpc) == 4


@pytest.mark.parametrize(
    ("method", "request_", "status", "field"),
    [
        ("CountTokens", pb.CountTokensRequest(tokenizer="tokenizers/x"), "INVALID_ARGUMENT", "texts"),
        ("CountTokens", pb.CountTokensRequest(tokenizer="x", texts=["a"]), "INVALID_ARGUMENT", "tokenizer"),
        ("Decode", pb.DecodeRequest(tokenizer="tokenizers/x"), "INVALID_ARGUMENT", "ids"),
        ("Decode", pb.DecodeRequest(tokenizer="", ids=[1, 1 << 31]), "INVALID_ARGUMENT", "ids[1]"),
        ("Decode", pb.DecodeRequest(tokenizer="", ids=[1], lengths=[2]), "INVALID_ARGUMENT", "lengths"),
        ("LookUpVocabulary", pb.LookUpVocabularyRequest(tokenizer=""), "INVALID_ARGUMENT", "tokens"),
        ("LookUpVocabulary", pb.LookUpVocabularyRequest(tokenizer="", ids=[1 << 20]), "INVALID_ARGUMENT", "ids[0]"),
        (
            "AnalyzeTexts",
            pb.AnalyzeTextsRequest(tokenizer="", texts=["a"], max_tokens=2),
            "INVALID_ARGUMENT",
            "max_tokens",
        ),
        ("RegisterTokenizer", pb.RegisterTokenizerRequest(tokenizer_id="x"), "INVALID_ARGUMENT", "source"),
        ("RegisterTokenizer", pb.RegisterTokenizerRequest(folder="/none"), "INVALID_ARGUMENT", "tokenizer_id"),
        ("DeriveTokenizer", pb.DeriveTokenizerRequest(tokenizer="", terms=[" "]), "INVALID_ARGUMENT", "terms[0]"),
        ("DeriveTokenizer", pb.DeriveTokenizerRequest(tokenizer=""), "INVALID_ARGUMENT", "terms"),
        (
            "DeriveTokenizer",
            pb.DeriveTokenizerRequest(tokenizer="tokenizers/nobody", terms=["x"]),
            "NOT_FOUND",
            "",
        ),
    ],
)
async def test_bad_input_of_other_calls(
    stub: Any, refusal: Any, tokenizer_digest: str, method: str, request_: Any, status: str, field: str
) -> None:
    if not getattr(request_, "tokenizer", "given"):
        request_.tokenizer = f"tokenizers/{tokenizer_digest}"
    assert (await refusal(getattr(stub, method)(request_)))[:2] == (status, field)


async def test_a_report_of_texts(stub: Any, put: Any) -> None:
    texts = ["Where is my order? It was sent three days ago.", "请帮我取消订单，谢谢。我的快递什么时候到？", " "]
    report = await stub.AnalyzeTexts(pb.AnalyzeTextsRequest(tokenizer=put("minilm"), texts=texts, max_tokens=16))
    assert (report.texts, report.blank_texts, report.max_tokens) == (3, 1, 16)
    assert sum(each.texts for each in report.lengths) == 3
    assert report.truncation_rate == pytest.approx(1 / 3)
    assert {"en", "zh"} <= {share.code for share in report.languages}
    assert {"Latn", "Hani"} == {share.code for share in report.scripts}
    assert 0 < report.figures.unknown_rate < 0.5
