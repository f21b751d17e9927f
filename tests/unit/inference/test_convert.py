"""Messages keep what the domain says, and the other way round."""

from typing import Any

from symbiont.api.inference.v1 import inference_pb2 as pb
from symbiont.api.tokenization.v1 import tokenization_pb2
from symbiont.api.training.v1 import model_pb2
from symbiont.inference import convert
from symbiont.inference.instances import Instance, Text
from symbiont.inference.results import Classification, ClassProbability
from symbiont.inference.types import PredictCall, Prediction, PredictResult


def stored_version(number: int = 1) -> model_pb2.ModelVersion:
    return model_pb2.ModelVersion(
        name=f"models/x/versions/{number}",
        bundle_digest=f"{number:x}".rjust(64, "d"),
        base_digest="a" * 64,
        tokenizer_digest="c" * 64,
    )


def test_a_call_is_read_and_an_instance_without_input_is_empty() -> None:
    request = pb.PredictRequest(model="models/x", instances=[pb.Instance(text="好"), pb.Instance()], top_k=2)
    assert convert.predict_call_from_proto(request) == PredictCall(
        "models/x", [Instance(Text("好")), Instance(Text(""))], 2
    )


def test_an_answer(version: Any) -> None:
    classes = (ClassProbability("yes", 0.75), ClassProbability("no", 0.25))
    prediction = Prediction(Classification(classes, classes[1]), truncated=True)
    seconds = {"resolve": 0.0, "tokenize": 0.0015, "infer": 1.25}
    message = convert.predict_result_to_proto(PredictResult([prediction], version("x", 2), seconds))
    given = message.predictions[0].classification.classes
    assert [(c.label, c.probability) for c in given] == [("yes", 0.75), ("no", 0.25)]
    assert message.predictions[0].classification.decided == given[1]
    assert message.predictions[0].truncated
    assert message.served_model.model_version == "models/x/versions/2"
    assert message.served_model.bundle_digest == version("x", 2).bundle_digest
    assert message.stage_times.tokenize.nanos == 1_500_000
    assert (message.stage_times.infer.seconds, message.stage_times.infer.nanos) == (1, 250_000_000)


def test_versions_and_aliases(version: Any, alias: Any) -> None:
    assert convert.version_from_proto(stored_version(2)) == version("x", 2)
    stored = model_pb2.ModelAlias(model="models/x", alias="canary", model_version=stored_version(2))
    update = convert.update_from_proto(model_pb2.WatchModelAliasesResponse(aliases=[stored], complete=True))
    assert (update.aliases, update.complete) == ([alias("x", "canary", 2)], True)


def test_packed_ids_become_rows() -> None:
    response = tokenization_pb2.TokenizeResponse(
        ids=[1, 2, 3, 4, 5, 6], lengths=[3, 1, 2], original_lengths=[3, 9, 2], tokenizer_digest="c" * 64
    )
    tokens = convert.tokens_from_proto(response)
    assert [row.tolist() for row in tokens.rows] == [[1, 2, 3], [4], [5, 6]]
    assert tokens.truncated == [False, True, False]
    assert convert.tokens_from_proto(tokenization_pb2.TokenizeResponse()).rows == []
