"""symbiont.inference.v1 over real gRPC, with real tokens."""

import asyncio
import math
from typing import Any

import pytest
from tokenizers import Tokenizer

from symbiont.api.inference.v1 import inference_pb2 as pb
from symbiont.api.inference.v1.inference_pb2_grpc import InferenceServiceStub


def request(*texts: str, model: str = "models/mood@production", top_k: int = 0) -> pb.PredictRequest:
    return pb.PredictRequest(model=model, instances=[pb.Instance(text=text) for text in texts], top_k=top_k)


@pytest.fixture
def stub(suite: Any) -> InferenceServiceStub:
    return InferenceServiceStub(suite.inference.channel)


async def test_an_answer_has_probabilities_and_every_digest(suite: Any, stub: Any, definition: bytes) -> None:
    text = "Where is my order? 请帮我取消订单"
    answer = await stub.Predict(request(text))
    oracle = Tokenizer.from_buffer(definition)
    oracle.no_padding()
    oracle.no_truncation()
    assert suite.triton.rows == [oracle.encode(text).ids]
    # Labels bad and good with the logits 0 (and the row's length over a thousand) and 2, at the temperature 2.
    odds = math.exp((2.0 - len(suite.triton.rows[0]) / 1000) / 2)
    classes = answer.predictions[0].classification.classes
    assert [c.label for c in classes] == ["good", "bad"]
    assert classes[0].probability == pytest.approx(odds / (1 + odds), abs=1e-6)
    version = suite.training.versions["models/mood/versions/1"]
    assert answer.served_model == pb.ServedModel(
        model_version=version.name,
        base_digest=version.base_digest,
        tokenizer_digest=version.tokenizer_digest,
        bundle_digest=version.bundle_digest,
    )
    assert answer.stage_times.HasField("resolve")
    assert answer.stage_times.tokenize.nanos > 0
    assert answer.stage_times.infer.nanos > 0


@pytest.mark.parametrize(
    ("model", "best"),
    [("models/mood", "good"), ("models/mood/versions/1", "good"), ("models/intent@production", "a")],
)
async def test_models_are_found_by_every_kind_of_name(stub: Any, model: str, best: str) -> None:
    answer = await stub.Predict(request("order", model=model))
    assert answer.predictions[0].classification.classes[0].label == best


@pytest.mark.parametrize(("top_k", "labels"), [(0, ["a", "c", "b"]), (1, ["a"]), (2, ["a", "c"]), (9, ["a", "c", "b"])])
async def test_top_k(stub: Any, top_k: int, labels: list[str]) -> None:
    answer = await stub.Predict(request("order", "refund", model="models/intent", top_k=top_k))
    assert [[c.label for c in p.classification.classes] for p in answer.predictions] == [labels, labels]


async def test_a_long_text_is_cut_and_says_so(suite: Any, stub: Any) -> None:
    answer = await stub.Predict(request("order", "order " * 50))
    assert [p.truncated for p in answer.predictions] == [False, True]
    assert [len(row) for row in suite.triton.rows] == [3, 32]


@pytest.mark.parametrize(
    ("changed", "status", "field"),
    [
        ({"model": ""}, "INVALID_ARGUMENT", "model"),
        ({"model": "mood"}, "INVALID_ARGUMENT", "model"),
        ({"model": "models/mood@"}, "INVALID_ARGUMENT", "model"),
        ({"model": "models/nobody"}, "NOT_FOUND", "model"),
        ({"model": "models/mood@nothing"}, "NOT_FOUND", "model"),
        ({"model": "models/mood/versions/9"}, "NOT_FOUND", "model"),
        ({"instances": []}, "INVALID_ARGUMENT", "instances"),
        ({"instances": [pb.Instance(text="a")] * 10_000}, "INVALID_ARGUMENT", "instances"),
        ({"instances": [pb.Instance(text="a")] * 3 + [pb.Instance()]}, "INVALID_ARGUMENT", "instances[3].text"),
        ({"instances": [pb.Instance(text="a"), pb.Instance(text="")]}, "INVALID_ARGUMENT", "instances[1].text"),
        ({"instances": [pb.Instance(text=" \n")]}, "INVALID_ARGUMENT", "instances[0].text"),
        ({"instances": [pb.Instance(text="x" * (1 << 20))]}, "INVALID_ARGUMENT", "instances[0].text"),
        ({"top_k": -1}, "INVALID_ARGUMENT", "top_k"),
    ],
)
async def test_bad_input(suite: Any, stub: Any, refusal: Any, changed: dict[str, Any], status: str, field: str) -> None:
    good = {"model": "models/mood", "instances": [pb.Instance(text="a")]}
    assert (await refusal(stub.Predict(pb.PredictRequest(**{**good, **changed}))))[:2] == (status, field)
    assert suite.token_request_ids == []


async def test_what_is_not_found_is_named(stub: Any, refusal: Any) -> None:
    assert "models/nobody does not exist" in (await refusal(stub.Predict(request("a", model="models/nobody"))))[2]
    assert "no alias 'beta'" in (await refusal(stub.Predict(request("a", model="models/mood@beta"))))[2]


async def test_a_request_id_reaches_tokenization_and_triton(suite: Any, stub: Any) -> None:
    call = stub.Predict(request("order"), metadata=(("x-request-id", "caller-7"),))
    await call
    assert suite.token_request_ids == ["caller-7"]
    assert suite.triton.request_ids == ["caller-7"]
    assert dict(await call.trailing_metadata())["x-request-id"] == "caller-7"


async def test_a_promotion_is_followed(suite: Any, stub: Any, eventually: Any) -> None:
    await stub.Predict(request("order"))
    second = suite.make_version("mood", 2, ["bad", "good"], [3.0, 0.0])
    suite.training.promote("mood", "production", second)
    answer = await eventually(
        lambda: stub.Predict(request("order")), lambda a: a.served_model.model_version == second.name
    )
    assert answer.served_model.bundle_digest == second.bundle_digest
    assert answer.predictions[0].classification.classes[0].label == "bad"
    old = await stub.Predict(request("order", model="models/mood/versions/1"))
    assert old.predictions[0].classification.classes[0].label == "good"


async def test_known_aliases_and_versions_ask_the_registry_nothing(suite: Any, stub: Any, eventually: Any) -> None:
    async def known() -> Any:
        return (await suite.inference.samples())("symbiont_inference_aliases")

    await eventually(known, lambda aliases: aliases == 2)
    for model in ("models/mood", "models/mood/versions/1", "models/mood/versions/1"):
        await stub.Predict(request("order", model=model))
    assert suite.training.calls == ["models/mood/versions/1"]


async def test_calls_of_many_models_at_once_get_their_own_answers(stub: Any) -> None:
    calls = [stub.Predict(request("order", model=f"models/{m}")) for m in ("mood", "intent") * 20]
    answers = await asyncio.gather(*calls)
    assert [a.predictions[0].classification.classes[0].label for a in answers] == ["good", "a"] * 20
