"""What the Open Inference Protocol tells of the server and its models: metadata, statistics, the repository."""

import json
from functools import partial
from importlib.metadata import version
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import model_config_pb2
from tritonclient.grpc import service_pb2 as pb
from tritonclient.utils import InferenceServerException

from support.open_inference import ids, request, text_input
from symbiont.common.errors import Unavailable

NAME = "inference.GRPCInferenceService"
IDS = [(name, "INT32", [-1, -1]) for name in ("INPUT_IDS", "ATTENTION_MASK", "TOKEN_TYPE_IDS")]
TEXT, PAIR = ("TEXT", "BYTES", [-1]), ("TEXT_PAIR", "BYTES", [-1])
FIELDS = [("FIELD_income", "FP64", [-1]), ("FIELD_home region", "BYTES", [-1]), ("FIELD_owner", "BOOL", [-1])]
OF_TASKS: dict[str, tuple[list[Any], list[Any]]] = {
    "intent": ([TEXT, *IDS], [("PROBABILITIES", "FP32", [-1, 3]), ("LABEL", "BYTES", [-1])]),
    "topics": ([TEXT, *IDS], [("PROBABILITIES", "FP32", [-1, 2]), ("HOLDS", "BOOL", [-1, 2])]),
    "credit": ([TEXT, *IDS, *FIELDS], [("SCORE", "FP32", [-1])]),
    "pairs": ([TEXT, PAIR, *IDS], [("PROBABILITIES", "FP32", [-1, 2]), ("LABEL", "BYTES", [-1])]),
    "vectors": ([TEXT, PAIR, *IDS], [("EMBEDDING", "FP32", [-1, 4]), ("SIMILARITY", "FP32", [-1])]),
    "names": ([TEXT, *IDS], [("ENTITIES", "BYTES", [-1]), ("LOGITS", "FP32", [-1, -1, 3])]),
    "answers": ([TEXT, PAIR, *IDS], [("ANSWERS", "BYTES", [-1]), ("LOGITS", "FP32", [-1, -1, 2])]),
}
TEXTS = ["Where is my order?", "请帮我取消订单", "refund"]


async def test_server_and_models_describe_themselves(client: Any, eventually: Any) -> None:
    metadata = await client.get_server_metadata()
    assert (metadata.name, metadata.version) == ("symbiont", version("symbiont"))
    extensions = ["classification", "model_configuration", "model_repository", "schedule_policy", "statistics"]
    assert list(metadata.extensions) == extensions
    assert await client.is_server_live()
    # Once it has answered a first row.
    await eventually(lambda: client.is_model_ready("mood"), bool)
    for name, number, ready in (("mood@production", "", 1), ("mood", "1", 1), ("no", "", 0)):
        assert await client.is_model_ready(name, number) is bool(ready)
    with pytest.raises(InferenceServerException, match="nobody"):
        await client.get_model_metadata("nobody")


@pytest.mark.parametrize("model", OF_TASKS)
async def test_models_tell_what_they_take_and_give(kinds: Any, client: Any, model: str) -> None:
    inputs, outputs = OF_TASKS[model]
    told = await client.get_model_metadata(model)
    assert (told.name, list(told.versions), told.platform) == (model, ["1"], "symbiont")
    assert [(t.name, t.datatype, list(t.shape)) for t in told.inputs] == inputs
    assert [(t.name, t.datatype, list(t.shape)) for t in told.outputs] == outputs
    config = (await client.get_model_config(model)).config
    words = {"BYTES": "TYPE_STRING", **{kind: f"TYPE_{kind}" for kind in ("BOOL", "INT32", "FP32", "FP64")}}
    for given, expected in ((config.input, inputs), (config.output, outputs)):
        found = [(t.name, model_config_pb2.DataType.Name(t.data_type), list(t.dims)) for t in given]
        assert found == [(name, words[kind], shape) for name, kind, shape in expected]


async def test_a_config_names_task_labels_and_digests(kinds: Any, client: Any) -> None:
    given = (await client.get_model_config("names")).config.parameters
    served = kinds.training.versions["models/names/versions/1"]
    assert {name: value.string_value for name, value in given.items()} == {
        "task": "entities",
        "labels": json.dumps(["O", "B-x", "I-x"]),
        "model_version": served.name,
        "base_digest": served.base_digest,
        "tokenizer_digest": served.tokenizer_digest,
        "bundle_digest": served.bundle_digest,
    }


async def test_a_bundle_by_its_digest_has_no_number(suite: Any, client: Any) -> None:
    name = f"bundles/{suite.training.versions['models/mood/versions/1'].bundle_digest}"
    told = await client.get_model_metadata(name)
    assert (told.name, list(told.versions)) == (name, [])
    response = (await client.infer(name, [text_input("order")])).get_response()
    assert (response.model_name, response.model_version) == (name, "")
    assert "model_version" not in response.parameters
    assert response.parameters["bundle_digest"].string_param == name.removeprefix("bundles/")
    (record,) = (await client.get_inference_statistics(name)).model_stats
    assert (record.name, record.version, record.inference_count) == (name, "", 1)
    assert not (await client.get_inference_statistics("mood")).model_stats
    assert not await client.is_model_ready(f"bundles/{'0' * 64}")


async def test_a_damaged_bundle_is_not_ready(suite: Any, client: Any) -> None:
    gone = suite.make_version("gone", 1, ["x", "y"], [0.0, 1.0])
    suite.store.delete("bundles", gone.bundle_digest)
    suite.training.promote("gone", "production", gone)
    assert not await client.is_model_ready("gone")


async def test_statistics_count_a_known_load(suite: Any, client: Any, open_stub: Any, refusal: Any) -> None:
    for _ in range(3):
        await client.infer("mood@production", [text_input(*TEXTS)])
    await refusal(open_stub.ModelInfer(request(ids([1] * 33))))
    await open_stub.ModelInfer(request(model_name="intent"))
    (mood,) = (await client.get_inference_statistics("mood")).model_stats
    assert (mood.name, mood.version, mood.inference_count, mood.execution_count) == ("mood", "1", 9, 3)
    stats = mood.inference_stats
    assert (stats.success.count, stats.fail.count) == (3, 1)
    parts = (stats.compute_input, stats.compute_infer, stats.compute_output)
    assert [part.count for part in parts] == [3, 3, 3]
    assert 0 < sum(part.ns for part in parts) <= stats.success.ns
    assert mood.last_inference > 1_700_000_000_000
    assert [entry.name for entry in (await client.get_inference_statistics()).model_stats] == ["intent", "mood"]
    assert not (await client.get_inference_statistics("mood", "1")).model_stats[1:]
    value = await suite.inference.samples()
    assert value("symbiont_inference_instances_total", base="a" * 12) == 10
    assert value("symbiont_inference_refusals_total", reason="INVALID_ARGUMENT") == 1


async def test_the_repository(suite: Any, client: Any, open_stub: Any, refusal: Any, eventually: Any) -> None:
    suite.training.promote("mood", "beta", suite.make_version("mood", 2, ["bad", "good"], [1.0, 0.0]))

    async def ready() -> Any:
        return (await open_stub.RepositoryIndex(pb.RepositoryIndexRequest(ready=True))).models

    models = await eventually(ready, lambda found: len(found) == 3)
    listed = [(m.name, m.version) for m in models]
    assert listed == [("intent", "1"), ("mood", "1"), ("mood@beta", "2")]
    assert {m.state for m in models} == {"READY"}
    await client.load_model("mood@beta")
    assert len(suite.triton.request_ids) == 1
    # As KServe sends and reads it: model_name = 1; model_name = 1, isLoaded = 2.
    answer = await open_stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(repository_name="mood"))
    assert answer.SerializeToString() == b"\n\x04mood\x10\x01"
    assert len(suite.triton.request_ids) == 2
    assert (await refusal(open_stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="no"))))[
        0
    ] == "NOT_FOUND"
    with pytest.raises(InferenceServerException, match="parameters"):
        await client.load_model("mood", config="{}")
    with pytest.raises(InferenceServerException, match="not unloaded by hand") as caught:
        await client.unload_model("mood")
    assert caught.value.status() == "StatusCode.FAILED_PRECONDITION"
    suite.triton.error = Unavailable("away")

    async def everything() -> Any:
        return (await client.get_model_repository_index()).models

    models = await eventually(everything, lambda found: found[0].state == "UNAVAILABLE")
    assert [m.reason for m in models] == ["its base model is not loaded in Triton now, or does not answer"] * 3
    assert not await ready()


async def test_what_the_index_lists_can_be_called(suite: Any, client: Any, eventually: Any) -> None:
    """By the name alone; the version is the one that metadata tell and that answers. It follows the alias."""

    async def listed() -> dict[str, str]:
        return {m.name: m.version for m in (await client.get_model_repository_index()).models}

    for number in (2, 3):
        version = suite.make_version("mood", number, ["bad", "good"], [1.0, 0.0])
        suite.training.promote("mood", "beta", version)
        expected = {"intent": "1", "mood": "1", "mood@beta": str(number)}
        await eventually(listed, lambda found, expected=expected: found == expected)
        for name, number_listed in expected.items():
            assert list((await client.get_model_metadata(name)).versions) == [number_listed]
            response = (await client.infer(name, [text_input("order")])).get_response()
            assert (response.model_name, response.model_version) == (name, number_listed)
            # A new alias answers at once, and is called ready when its version has proven itself.
            await eventually(partial(client.is_model_ready, name), bool)
            await client.load_model(name)
    await client.load_model(f"bundles/{version.bundle_digest}")


@pytest.mark.parametrize("name", ["mood", "mood@production", "nobody"])
async def test_nothing_is_unloaded_by_hand(suite: Any, client: Any, name: str) -> None:
    for dependents in (False, True):
        with pytest.raises(InferenceServerException, match=r"not unloaded by hand.*training service") as caught:
            await client.unload_model(name, unload_dependents=dependents)
        assert caught.value.status() == "StatusCode.FAILED_PRECONDITION"
    assert (await client.infer("mood", [text_input("order")])).get_response().model_version == "1"


@pytest.mark.parametrize(
    "method",
    [
        *(f"{kind}SharedMemory{what}" for kind in ("System", "Cuda") for what in ("Status", "Register", "Unregister")),
        "TraceSetting",
        "LogSettings",
    ],
)
async def test_what_is_left_out_says_so(open_stub: Any, refusal: Any, method: str) -> None:
    descriptor = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name[method]
    message = getattr(pb, descriptor.input_type.name)()
    status, _, text = await refusal(getattr(open_stub, method)(message))
    assert status == "UNIMPLEMENTED"
    assert "not offered" in text


async def test_health_and_reflection_name_the_service(suite: Any) -> None:
    assert NAME in await suite.inference.listed_services()
    health = health_pb2_grpc.HealthStub(suite.inference.channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(service=NAME))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
