"""Predictions of every kind through both clients: what they send, and what they make of the answers."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from symbiont import client as c
from symbiont.api.inference.v1 import inference_pb2 as pb
from symbiont.client import predicting


@pytest.fixture
def model(suite: Any) -> str:
    suite.state.models["models/m"] = None
    return "m"


def test_every_form_of_input_is_sent_as_what_it_is() -> None:
    fields = {"income": 3, "owner": True, "region": "north"}
    inputs = [
        "a",
        ("a", "b"),
        c.Text("a", fields),
        c.Pair("a", "b", {"income": 1.5}),
        c.QuestionContext("a", "b"),
        c.Query("a", ["b", "c"]),
        c.Query("a", catalogue="k"),
    ]
    sent = predicting.predict("m@beta", inputs, 3, 0.5, "user-7", "batch", "utf8_byte")
    given = [
        pb.BusinessField(name="income", number=3),
        pb.BusinessField(name="owner", flag=True),
        pb.BusinessField(name="region", category="north"),
    ]
    assert sent == pb.PredictRequest(
        model="models/m@beta",
        top_k=3,
        threshold=0.5,
        routing_key="user-7",
        priority=pb.PRIORITY_BATCH,
        offset_unit=pb.OFFSET_UNIT_UTF8_BYTE,
        instances=[
            pb.Instance(text="a"),
            pb.Instance(pair=pb.Pair(first="a", second="b")),
            pb.Instance(text="a", fields=given),
            pb.Instance(pair=pb.Pair(first="a", second="b"), fields=[pb.BusinessField(name="income", number=1.5)]),
            pb.Instance(question_context=pb.QuestionContext(question="a", context="b")),
            pb.Instance(query=pb.Query(text="a", texts=pb.Candidates(texts=["b", "c"]))),
            pb.Instance(query=pb.Query(text="a", catalogue="catalogues/k")),
        ],
    )
    digest = f"bundles/{'0' * 64}"
    plain = predicting.predict(digest, ["a"], 0, None, "", "interactive", "code_point")
    assert plain.model == digest
    assert not plain.HasField("threshold")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"inputs": "one string"}, TypeError),
        ({"inputs": [7]}, TypeError),
        ({"inputs": [("a", "b", "c")]}, TypeError),
        ({"inputs": ["a"], "priority": "soon"}, ValueError),
        ({"inputs": ["a"], "offset_unit": "words"}, ValueError),
    ],
)
def test_what_is_no_input_is_refused_before_a_call(
    client: Any, suite: Any, model: str, change: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        client.predict(model, **change)
    assert not suite.state.predicted


def test_results_are_of_the_tasks_kind(client: Any, model: str) -> None:
    inputs = [
        "good",
        "topics of the day",
        c.Text("a", {"income": 2, "owner": True}),
        ("a", "b"),
        c.QuestionContext("who?", "Alice did it"),
        c.QuestionContext("who?", "nobody"),
        "names Bob",
        "vector",
        c.Query("a", ["b", "c"]),
        c.Query("a", catalogue="k"),
    ]
    answers = client.predict(model, inputs).predictions
    assert (answers[0].label, answers[0].probability) == ("yes", 0.75)
    assert answers[1].labels == (c.ClassProbability("sport", 0.75),)
    assert answers[2].score == 3
    assert answers[3].similarity == 0.5
    assert answers[4].spans == (c.AnswerSpan("Alice", 0, 5, 0.75),)
    assert answers[5].result == c.AnswerSpans((), 0.25)
    assert answers[6].entities == (c.Entity("PER", "Bob", 6, 9, 0.5),)
    np.testing.assert_array_equal(answers[7].embedding, np.array([0.6, 0.8], np.float32))
    assert answers[8].matches == (c.Match(0, 1.0), c.Match(1, 0.5))
    assert answers[9].matches[0].id == "e1"
    with pytest.raises(TypeError, match="gives Similarity, not Classification"):
        _ = answers[3].label


def test_a_stream_answers_by_id(client: Any, suite: Any, model: str) -> None:
    batches = [(f"r{n}", ["good" if n % 2 else "bad"]) for n in range(5)]
    found = list(client.predict_stream(model, [*batches, ("broken", [""])], top_k=1, threshold=0.5))
    assert [identifier for identifier, _ in found] == ["r1", "r0", "r3", "r2", "broken", "r4"]
    answers = dict(found)
    error = answers.pop("broken")
    assert isinstance(error, c.InvalidArgumentError)
    assert (error.code, error.reason, error.field) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "EMPTY_TEXT",
        "instances[0].text",
    )
    for identifier, answer in answers.items():
        assert [p.label for p in answer.predictions] == ["yes" if identifier in ("r1", "r3") else "no"]
        assert answer.model_version == "models/m/versions/1"
    assert {(sent.top_k, sent.threshold, len(sent.instances)) for sent in suite.state.predicted} == {(1, 0.5, 1)}


async def test_a_stream_reads_from_an_asyncio_source(suite: Any, model: str) -> None:
    async def batches() -> AsyncIterator[Any]:
        yield "one", ["good"]
        yield "two", [("a", "b")]

    async with c.AsyncClient(c.Endpoints(suite.address, suite.address, suite.address)) as client:
        found = {identifier: answer async for identifier, answer in client.predict_stream(model, batches())}
    assert {identifier: type(answer).__name__ for identifier, answer in found.items()} == dict.fromkeys(
        ("one", "two"), "Predictions"
    )


def test_a_stream_that_is_left_ends(client: Any, model: str) -> None:
    def endless() -> Iterator[Any]:
        number = 0
        while True:
            number += 1
            yield f"r{number}", ["good"]

    stream = client.predict_stream(model, endless())
    assert next(stream)[0] == "r2"
    stream.close()


def test_explains_pairs_by_sentence(client: Any, model: str) -> None:
    answer = client.explain(model, [c.Pair("Is it good?", "It is.")], granularity="sentence")
    assert answer.explanations[0].words == (
        c.WordAttribution("Is it good?", 0, 11, 0.5, 0),
        c.WordAttribution("It is.", 0, 6, -0.25, 1),
    )
    with pytest.raises(ValueError, match="granularity"):
        client.explain(model, ["a"], granularity="letter")


def test_explains(client: Any, model: str) -> None:
    answer = client.explain(model, ["a good one", c.Text("bad", {"owner": True})], label="no")
    first, second = answer.explanations
    assert (first.label, first.value, first.truncated) == ("no", 0.75, False)
    assert first.words[1] == c.WordAttribution("good", 2, 6, 0.5)
    assert [word.text for word in second.words] == ["bad"]
    assert second.fields == (c.FieldAttribution("owner", 0.125),)
    assert answer.model_version == "models/m/versions/1"
