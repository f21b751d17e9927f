"""Bad input to symbiont.inference.v1: refused by the name of what is wrong, and nothing is computed."""

from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from symbiont.api.inference.v1 import inference_pb2 as pb
from symbiont.api.inference.v1.inference_pb2_grpc import InferenceServiceStub

TEXT = pb.Instance(text="fine")
PAIR = pb.Instance(pair=pb.Pair(first="one", second="two"))
QUESTION = pb.Instance(question_context=pb.QuestionContext(question="one", context="two"))
LONG_PAIR = pb.Instance(pair=pb.Pair(first="one", second="x" * 200_000))
NAN = float("nan")
AGE = {"name": "age", "number": 1}


def request(*instances: Any, model: str = "models/mood", **options: Any) -> pb.PredictRequest:
    return pb.PredictRequest(model=model, instances=instances or [TEXT], **options)


def text(value: str) -> pb.PredictRequest:
    return request(TEXT, pb.Instance(text=value))


def pair(first: str, second: str) -> pb.PredictRequest:
    return request(PAIR, pb.Instance(pair=pb.Pair(first=first, second=second)), model="models/pairs")


def question(first: str, second: str) -> pb.PredictRequest:
    instance = pb.Instance(question_context=pb.QuestionContext(question=first, context=second))
    return request(instance, model="models/answers")


def query(*candidates: str, first: str = "one", model: str = "models/vectors") -> pb.PredictRequest:
    given = pb.Query(text=first, texts=pb.Candidates(texts=candidates))
    return request(pb.Instance(query=given), model=model)


def fields(*given: dict[str, Any]) -> pb.PredictRequest:
    made = [pb.BusinessField(**field) for field in given]
    return request(TEXT, pb.Instance(text="fine", fields=made), model="models/credit")


def asked(model: str, *instances: Any, **options: Any) -> pb.PredictRequest:
    return request(*instances, model=f"models/{model}", **options)


BAD: list[tuple[str, pb.PredictRequest, str]] = [
    ("no model", request(model=""), "model"),
    ("model without its collection", request(model="mood"), "model"),
    ("model of another collection", request(model="bases/mood"), "model"),
    ("upper case", request(model="models/Mood"), "model"),
    ("an alias of nothing", request(model="models/mood@"), "model"),
    ("version zero", request(model="models/mood/versions/0"), "model"),
    ("version latest", request(model="models/mood/versions/latest"), "model"),
    ("a version by two numbers", request(model="models/mood/versions/1/versions/2"), "model"),
    ("a version with a zero before it", request(model="models/mood/versions/01"), "model"),
    ("a version and an alias", request(model="models/mood@production/versions/1"), "model"),
    ("two aliases", request(model="models/mood@production@staging"), "model"),
    ("an alias in upper case", request(model="models/mood@Production"), "model"),
    ("an alias by its resource name", request(model="models/mood/aliases/production"), "model"),
    ("an endless name", request(model="models/" + "m" * 100_000), "model"),
    ("a digest in upper case", request(model=f"bundles/{'A' * 64}"), "model"),
    ("half a digest", request(model="bundles/0123"), "model"),
    ("no instances", pb.PredictRequest(model="models/mood"), "instances"),
    ("too many instances", request(*[TEXT] * 1025), "instances"),
    ("too many bytes", asked("mood", *[pb.Instance(text="x" * 200_000)] * 45), "instances"),
    ("too many bytes of second texts", asked("pairs", *[LONG_PAIR] * 45), "instances"),
    ("no input", request(TEXT, pb.Instance()), "instances[1].text"),
    ("empty text", text(""), "instances[1].text"),
    ("white space", text(" \n\t"), "instances[1].text"),
    ("over-long text", text("x" * (1 << 19)), "instances[1].text"),
    ("over-long text of three bytes a letter", text("订" * 90_000), "instances[1].text"),
    ("empty first text", pair("", "b"), "instances[1].pair.first"),
    ("empty second text", pair("a", " "), "instances[1].pair.second"),
    ("over-long second text", pair("a", "x" * (1 << 19)), "instances[1].pair.second"),
    ("empty question", question("", "b"), "instances[0].question_context.question"),
    ("empty context", question("a", ""), "instances[0].question_context.context"),
    ("empty query", query("a", first=""), "instances[0].query.text"),
    ("empty candidate", query("a", ""), "instances[0].query.texts.texts[1]"),
    ("no candidates", query(), "instances[0].query.texts"),
    ("too many candidates", query(*["a"] * 1001), "instances[0].query.texts"),
    ("negative top_k", request(top_k=-1), "top_k"),
    ("long routing_key", request(routing_key="k" * 129), "routing_key"),
    ("unheard-of priority", request(priority=9), "priority"),
    ("unheard-of unit", request(offset_unit=9), "offset_unit"),
    ("threshold NaN", asked("topics", threshold=NAN), "threshold"),
    ("threshold infinite", asked("vectors", threshold=float("inf")), "threshold"),
    ("threshold above 1", asked("topics", threshold=1.5), "threshold"),
    ("threshold below 0", asked("names", threshold=-0.1), "threshold"),
    ("threshold of a class", asked("mood", threshold=0.5), "threshold"),
    ("threshold of a score", asked("credit", threshold=0.5), "threshold"),
    ("threshold of a vector", asked("vectors", threshold=0.5), "threshold"),
    ("a pair for a text", asked("mood", TEXT, PAIR), "instances[1]"),
    ("a question for a text", asked("topics", TEXT, QUESTION), "instances[1]"),
    ("a text for a pair", asked("pairs", PAIR, TEXT), "instances[1]"),
    ("a query for classes of a pair", query("a", model="models/pairs"), "instances[0]"),
    ("a query for a score of a text", query("a", model="models/credit"), "instances[0]"),
    ("a question for a vector", asked("vectors", TEXT, QUESTION), "instances[1]"),
    ("a pair for names", asked("names", TEXT, PAIR), "instances[1]"),
    ("a text for answers", asked("answers", QUESTION, TEXT), "instances[1]"),
    ("a pair for answers", asked("answers", QUESTION, PAIR), "instances[1]"),
    ("a field without a name", fields({"number": 1}), "instances[1].fields[0].name"),
    ("a field that is not there", fields(AGE), "instances[1].fields[0].name"),
    ("an unknown field among known ones", fields({"name": "owner", "flag": True}, AGE), "instances[1].fields[1].name"),
    ("a field with another first letter", fields({"name": "Income", "number": 1}), "instances[1].fields[0].name"),
    ("a field with white space", fields({"name": "income ", "number": 1}), "instances[1].fields[0].name"),
    ("a field with an endless name", fields({"name": "x" * 100_000, "number": 1}), "instances[1].fields[0].name"),
    # What stands beside the fields in other places: columns of a dataset, inputs of the Open Inference Protocol.
    *(
        (f"a field named {name}", fields({"name": name, "category": "north"}), "instances[1].fields[0].name")
        for name in ("text", "text_pair", "label", "TEXT", "INPUT_IDS", "FIELD_home region", "BUNDLE_DIGEST")
    ),
    ("a field twice", fields({"name": "owner", "flag": True}, {"name": "owner"}), "instances[1].fields[1].name"),
    ("a field without a value", fields({"name": "income"}), "instances[1].fields[0].value"),
    ("NaN", fields({"name": "income", "number": NAN}), "instances[1].fields[0].value"),
    ("infinity", fields({"name": "income", "number": float("-inf")}), "instances[1].fields[0].value"),
    ("huge number", fields({"name": "income", "number": 1e300}), "instances[1].fields[0].value"),
    ("flag for a number", fields({"name": "income", "flag": True}), "instances[1].fields[0].value"),
    ("number for a flag", fields({"name": "owner", "number": 1}), "instances[1].fields[0].value"),
    ("number for a category", fields({"name": "home region", "number": 1}), "instances[1].fields[0].value"),
    ("category for a number", fields({"name": "income", "category": "1"}), "instances[1].fields[0].value"),
    ("category for a flag", fields({"name": "owner", "category": "true"}), "instances[1].fields[0].value"),
    ("flag for a category", fields({"name": "home region", "flag": True}), "instances[1].fields[0].value"),
    (
        "fields of a model without",
        asked("mood", pb.Instance(text="a", fields=[pb.BusinessField(name="x")])),
        "instances[0].fields[0].name",
    ),
    (
        "fields of a task without",
        asked("names", pb.Instance(text="a", fields=[pb.BusinessField(name="x")])),
        "instances[0].fields",
    ),
]
BAD_TO_EXPLAIN: list[tuple[str, pb.ExplainRequest, str]] = [
    ("no instances", pb.ExplainRequest(model="models/mood"), "instances"),
    ("too many instances", pb.ExplainRequest(model="models/mood", instances=[TEXT] * 17), "instances"),
    ("empty text", pb.ExplainRequest(model="models/mood", instances=[pb.Instance(text="")]), "instances[0].text"),
    ("a pair", pb.ExplainRequest(model="models/mood", instances=[PAIR]), "instances[0]"),
    ("no such label", pb.ExplainRequest(model="models/mood", instances=[TEXT], label="ugly"), "label"),
    ("a label of a score", pb.ExplainRequest(model="models/credit", instances=[TEXT], label="a"), "label"),
    ("a task of tokens", pb.ExplainRequest(model="models/names", instances=[TEXT]), "model"),
    ("a text for a pair", pb.ExplainRequest(model="models/pairs", instances=[TEXT]), "instances[0]"),
    ("unheard-of granularity", pb.ExplainRequest(model="models/mood", instances=[TEXT], granularity=9), "granularity"),
    ("unheard-of unit", pb.ExplainRequest(model="models/mood", instances=[TEXT], offset_unit=9), "offset_unit"),
    (
        "a field that is not there",
        pb.ExplainRequest(model="models/credit", instances=fields(AGE).instances),
        "instances[1].fields[0].name",
    ),
]


@pytest.fixture
def stub(suite: Any) -> InferenceServiceStub:
    return InferenceServiceStub(suite.inference.channel)


async def test_bad_input(kinds: Any, stub: Any, refusal: Any) -> None:
    """One suite for the whole table: each call is refused, by its field, and reaches neither tokens nor host."""
    calls = [(name, stub.Predict, bad, field) for name, bad, field in BAD]
    calls += [(name, stub.Explain, bad, field) for name, bad, field in BAD_TO_EXPLAIN]
    for name, method, bad, field in calls:
        status, found, told = await refusal(method(bad))
        assert (status, found) == ("INVALID_ARGUMENT", field), f"{name}: {told}"
        assert told.startswith(f"{field}: "), name
        assert kinds.token_request_ids == kinds.triton.request_ids == [], name


async def test_a_stream_refuses_in_the_same_words(kinds: Any, stub: Any, refusal: Any) -> None:
    call = stub.PredictStream()
    for name, bad, field in BAD:
        await call.write(pb.PredictStreamRequest(id=name, request=bad))
        answer = await call.read()
        assert (answer.id, answer.error.code, answer.error.field) == (name, 3, field)
        assert answer.error.message == (await refusal(stub.Predict(bad)))[2]
    for identifier in ("", "x" * 129):
        await call.write(pb.PredictStreamRequest(id=identifier, request=request()))
        assert (await call.read()).error.field == "id"
    await call.done_writing()
    assert kinds.token_request_ids == kinds.triton.request_ids == []


async def test_the_reason_is_a_word_that_a_program_can_match(kinds: Any, stub: Any) -> None:
    for bad, reason in (
        (text(""), "TEXT_EMPTY"),
        (request(*[TEXT] * 1025), "BATCH_TOO_LARGE"),
        (fields({"name": "income", "number": NAN}), "FIELDS"),
        (asked("names", PAIR), "INPUT_KIND"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Predict(bad)
        info, status = error_details_pb2.ErrorInfo(), rpc_status.from_call(caught.value)
        assert status is not None
        assert status.details[0].Unpack(info)
        assert info.reason == reason


async def test_what_a_newer_client_adds_changes_nothing(stub: Any) -> None:
    """Protobuf's own rule for fields that this version does not know: they are passed over."""
    unknown = b"\xfa\x3f\x01x"  # Field 1023, the text "x".
    extended = pb.PredictRequest.FromString(request().SerializeToString() + unknown)
    assert extended.SerializeToString().endswith(unknown)
    assert (await stub.Predict(extended)).predictions == (await stub.Predict(request())).predictions


async def test_what_only_tokenization_finds_too_long_is_the_callers_to_cut(kinds: Any, stub: Any, refusal: Any) -> None:
    """Each text may be as long, and so many bytes may be sent; here tokenization takes less."""
    status, field, said = await refusal(stub.Predict(asked("names", *[pb.Instance(text="a " * 100_000)] * 6)))
    assert (status, field) == ("INVALID_ARGUMENT", "instances"), said
    assert "send fewer: texts: they take" in said
    assert kinds.triton.request_ids == []
