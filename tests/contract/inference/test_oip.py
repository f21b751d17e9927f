"""inference.GRPCInferenceService over real gRPC: NVIDIA's own clients, and messages made by hand as others do."""

import asyncio
import queue
import struct
from importlib.metadata import version
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as sync_client
import tritonclient.grpc.aio as aio_client
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tokenizers import Tokenizer
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub
from tritonclient.utils import InferenceServerException

from symbiont.api.inference.v1 import inference_pb2
from symbiont.api.inference.v1.inference_pb2_grpc import InferenceServiceStub
from symbiont.common.errors import InvalidArgument, Unavailable

NAME = "inference.GRPCInferenceService"
TEXTS = ["Where is my order?", "请帮我取消订单", "refund"]
Request, Parameter = pb.ModelInferRequest, pb.InferParameter


@pytest.fixture
def stub(suite: Any) -> Any:
    return GRPCInferenceServiceStub(suite.inference.channel)


@pytest.fixture
async def client(suite: Any) -> Any:
    async with aio_client.InferenceServerClient(suite.inference.address) as made:
        yield made


@pytest.fixture
def predict(suite: Any) -> Any:
    """What Predict says: per text label -> probability, and the best label."""

    async def ask(model: str, *texts: str) -> tuple[list[dict[str, float]], list[str]]:
        instances = [inference_pb2.Instance(text=text) for text in texts]
        request = inference_pb2.PredictRequest(model=f"models/{model}", instances=instances)
        answer = await InferenceServiceStub(suite.inference.channel).Predict(request)
        classes = [p.classification.classes for p in answer.predictions]
        return [{c.label: c.probability for c in row} for row in classes], [row[0].label for row in classes]

    return ask


@pytest.fixture
def tokenizer(definition: bytes) -> Tokenizer:
    made = Tokenizer.from_buffer(definition)
    made.no_padding()
    made.no_truncation()
    return made


def triton_input(name: str, values: Any, datatype: str) -> Any:
    made = sync_client.InferInput(name, values.shape, datatype)
    return made.set_data_from_numpy(values)


def text_input(*texts: str) -> Any:
    return triton_input("TEXT", np.array([text.encode() for text in texts], dtype=np.object_), "BYTES")


def typed(
    name: str = "TEXT", datatype: str = "BYTES", shape: Any = (1,), parameters: Any = None, **contents: Any
) -> Any:
    tensor = Request.InferInputTensor(name=name, datatype=datatype, shape=shape, contents=contents)
    for key, value in (parameters or {}).items():
        tensor.parameters[key].CopyFrom(value)
    return tensor


def texts(*values: str) -> Any:
    return typed(shape=(len(values),), bytes_contents=[value.encode() for value in values])


def ids(*rows: list[int], name: str = "INPUT_IDS") -> Any:
    return typed(name, "INT64", (len(rows), len(rows[0])), int64_contents=[i for row in rows for i in row])


def raw(*values: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(value)) + value for value in values)


def output(name: str, **parameters: Any) -> Any:
    made = Request.InferRequestedOutputTensor(name=name)
    for key, value in parameters.items():
        made.parameters[key].CopyFrom(value)
    return made


def request(*inputs: Any, **fields: Any) -> Any:
    return Request(**{"model_name": "mood", "inputs": inputs or [texts("order")], **fields})


async def rest(call: Any) -> list[Any]:
    """Reads a stream to its end."""
    found = []
    while (answer := await call.read()) is not grpc.aio.EOF:
        found.append(answer)
    return found


async def test_tritonclient_gets_what_predict_says(suite: Any, predict: Any) -> None:
    def ask() -> Any:
        with sync_client.InferenceServerClient(suite.inference.address) as client:
            return client.infer(
                "intent@production", [text_input(*TEXTS)], request_id="seven", priority=3, timeout=3_000_000
            )

    result = await asyncio.to_thread(ask)
    assert suite.triton.timeouts[0] <= 3
    rows, best = await predict("intent", *TEXTS)
    probabilities = result.as_numpy("PROBABILITIES")
    assert probabilities.dtype == np.float32
    assert probabilities.tolist() == np.array([[row[k] for k in "abc"] for row in rows], dtype=np.float32).tolist()
    assert result.as_numpy("LABEL").tolist() == [label.encode() for label in best]
    response = result.get_response()
    served = suite.training.versions["models/intent/versions/1"]
    assert (response.model_name, response.model_version, response.id) == ("intent@production", "1", "seven")
    assert {key: value.string_param for key, value in response.parameters.items()} == {
        "model_version": served.name,
        "base_digest": served.base_digest,
        "tokenizer_digest": served.tokenizer_digest,
        "bundle_digest": served.bundle_digest,
    }


async def test_tritonclient_aio(client: Any, predict: Any) -> None:
    column = triton_input("TEXT", np.array([[text.encode()] for text in TEXTS], dtype=np.object_), "BYTES")
    wanted = [aio_client.InferRequestedOutput("LABEL")]
    result = await client.infer("mood", [column], model_version="1", outputs=wanted)
    assert result.as_numpy("LABEL").tolist() == [label.encode() for label in (await predict("mood", *TEXTS))[1]]
    assert result.as_numpy("PROBABILITIES") is None


@pytest.mark.parametrize(("datatype", "dtype"), [("INT32", np.int32), ("INT64", np.int64)])
@pytest.mark.parametrize("left", [False, True])
async def test_token_ids_of_the_caller(
    suite: Any, client: Any, predict: Any, tokenizer: Tokenizer, datatype: str, dtype: Any, left: bool
) -> None:
    rows = [tokenizer.encode(text).ids for text in TEXTS]
    width = 40
    padded, mask = np.full((len(rows), width), -100, dtype=dtype), np.zeros((len(rows), width), dtype=dtype)
    for index, row in enumerate(rows):
        place = slice(width - len(row), None) if left else slice(len(row))
        padded[index, place], mask[index, place] = row, 1
    inputs = [triton_input("ATTENTION_MASK", mask, datatype), triton_input("INPUT_IDS", padded, datatype)]
    result = await client.infer("mood", inputs)
    assert suite.triton.rows == rows
    assert suite.token_request_ids == []
    expected, _ = await predict("mood", *TEXTS)
    good = result.as_numpy("PROBABILITIES")[:, 1].tolist()
    assert good == np.array([row["good"] for row in expected], dtype=np.float32).tolist()


async def test_token_ids_without_a_mask_are_taken_whole(suite: Any, stub: Any) -> None:
    await stub.ModelInfer(request(ids([2, 7, 3], [2, 0, 0])))
    assert suite.triton.rows == [[2, 7, 3], [2, 0, 0]]


async def test_typed_in_typed_out_and_raw_in_raw_out(stub: Any) -> None:
    given = await stub.ModelInfer(request(texts("order", "refund"), id="typed"))
    assert given.id == "typed"
    assert not given.raw_output_contents
    assert [(o.name, o.datatype, list(o.shape)) for o in given.outputs] == [
        ("PROBABILITIES", "FP32", [2, 2]),
        ("LABEL", "BYTES", [2]),
    ]
    assert list(given.outputs[1].contents.bytes_contents) == [b"good", b"good"]
    bare = Request.InferInputTensor(name="TEXT", datatype="BYTES", shape=[2, 1])
    answer = await stub.ModelInfer(request(bare, raw_input_contents=[raw(b"order", b"refund")]))
    assert not any(o.HasField("contents") for o in answer.outputs)
    values = np.frombuffer(answer.raw_output_contents[0], dtype="<f4").tolist()
    assert values == list(given.outputs[0].contents.fp32_contents)
    assert answer.raw_output_contents[1] == raw(b"good", b"good")


async def test_kserves_client_says_how_long_raw_contents_are(stub: Any) -> None:
    """As its InferInput.set_data_from_numpy does, unless told otherwise."""
    given = typed(shape=(2,), parameters={"binary_data_size": Parameter(int64_param=19)})
    given.ClearField("contents")
    answer = await stub.ModelInfer(request(given, raw_input_contents=[raw(b"order", b"refund")]))
    assert answer.raw_output_contents[1] == raw(b"good", b"good")


@pytest.mark.parametrize(("k", "order"), [(1, "a"), (2, "ac"), (9, "acb")])
async def test_classification(client: Any, predict: Any, k: int, order: str) -> None:
    wanted = [aio_client.InferRequestedOutput("PROBABILITIES", class_count=k)]
    result = await client.infer("intent", [text_input(*TEXTS)], outputs=wanted)
    rows, _ = await predict("intent", *TEXTS)
    found = result.as_numpy("PROBABILITIES")
    assert found.shape == (3, len(order))
    for line, row in zip(found.tolist(), rows, strict=True):
        values, indices, labels = zip(*(item.decode().split(":") for item in line), strict=True)
        assert "".join(labels) == order
        assert [int(i) for i in indices] == ["abc".index(label) for label in order]
        assert [float(v) for v in values] == pytest.approx([row[label] for label in order], abs=1e-6)


LONG = [1] * 33
BAD: list[tuple[str, Any, str]] = [
    ("no inputs", Request(model_name="mood"), "inputs"),
    ("unknown input", request(typed("TEXTS", bytes_contents=[b"a"])), "inputs['TEXTS']"),
    ("wrong datatype", request(typed(datatype="FP32", fp32_contents=[1])), "TEXT"),
    ("wrong rank", request(typed(shape=(1, 1, 1), bytes_contents=[b"a"])), "TEXT"),
    ("two columns of texts", request(typed(shape=(1, 2), bytes_contents=[b"a", b"b"])), "TEXT"),
    ("no shape", request(typed(shape=(), bytes_contents=[b"a"])), "TEXT"),
    ("no rows", request(typed(shape=(0,))), "TEXT"),
    ("negative shape", request(typed(shape=(-1,), bytes_contents=[b"a"])), "TEXT"),
    ("too many rows", request(texts(*["a"] * 1025)), "TEXT"),
    ("huge shape", request(typed("INPUT_IDS", "INT64", (1024, 1 << 62), int64_contents=[1])), "INPUT_IDS"),
    ("too few elements", request(typed(shape=(2,), bytes_contents=[b"a"])), "TEXT"),
    ("no contents", request(typed()), "TEXT"),
    ("contents of another type", request(typed(int_contents=[1])), "TEXT"),
    ("empty text", request(texts("a", "")), "TEXT[1]"),
    ("white space", request(texts(" \n")), "TEXT[0]"),
    ("over-long text", request(texts("x" * (1 << 19))), "TEXT[0]"),
    ("not UTF-8", request(typed(bytes_contents=[b"\xff"])), "TEXT[0]"),
    ("twice", request(texts("a"), texts("b")), "TEXT"),
    ("four inputs", request(texts("a"), ids([1]), ids([1]), ids([1])), "inputs"),
    ("texts and ids", request(texts("a"), ids([1])), "INPUT_IDS"),
    ("texts and a mask", request(texts("a"), ids([1], name="ATTENTION_MASK")), "ATTENTION_MASK"),
    ("only a mask", request(ids([1], name="ATTENTION_MASK")), "inputs"),
    ("rank of ids", request(typed("INPUT_IDS", "INT32", (2,), int_contents=[1, 2])), "INPUT_IDS"),
    ("negative id", request(ids([1], [-1])), "INPUT_IDS[1]"),
    ("huge id", request(ids([1 << 31])), "INPUT_IDS[0]"),
    ("mask of another shape", request(ids([1, 2]), ids([1], name="ATTENTION_MASK")), "ATTENTION_MASK"),
    ("mask of two", request(ids([1, 2]), ids([1, 2], name="ATTENTION_MASK")), "ATTENTION_MASK"),
    ("mask of zeros", request(ids([1], [1]), ids([1], [0], name="ATTENTION_MASK")), "ATTENTION_MASK[1]"),
    ("mask with a hole", request(ids([1, 2, 3]), ids([1, 0, 1], name="ATTENTION_MASK")), "ATTENTION_MASK[0]"),
    ("more tokens than the model takes", request(ids(LONG)), "INPUT_IDS[0]"),
    ("mixed contents", request(texts("a"), raw_input_contents=[raw(b"a")]), "TEXT"),
    ("count of raw contents", request(typed(), raw_input_contents=[raw(b"a")] * 2), "raw_input_contents"),
    ("raw contents cut", request(typed(), raw_input_contents=[raw(b"abc")[:-1]]), "TEXT"),
    ("raw length cut", request(typed(), raw_input_contents=[b"\1\0"]), "TEXT"),
    ("raw contents too many", request(typed(), raw_input_contents=[raw(b"a", b"b")]), "TEXT"),
    ("raw ids too few", request(typed("INPUT_IDS", "INT32", (1, 2)), raw_input_contents=[b"\0" * 4]), "INPUT_IDS"),
    (
        "shared memory",
        request(typed(parameters={"shared_memory_region": Parameter(string_param="r")})),
        "TEXT['shared_memory_region']",
    ),
    ("unknown parameter", request(parameters={"x": Parameter(bool_param=True)}), "parameters['x']"),
    ("sequence", request(parameters={"sequence_id": Parameter(int64_param=1)}), "parameters['sequence_id']"),
    ("kind of priority", request(parameters={"priority": Parameter(int64_param=1)}), "parameters.priority"),
    ("kind of timeout", request(parameters={"timeout": Parameter(uint64_param=1)}), "parameters.timeout"),
    ("negative timeout", request(parameters={"timeout": Parameter(int64_param=-1)}), "parameters.timeout"),
    ("unknown output", request(outputs=[output("LOGITS")]), "outputs['LOGITS']"),
    ("output twice", request(outputs=[output("LABEL"), output("LABEL")]), "LABEL"),
    ("parameter of an output", request(outputs=[output("LABEL", x=Parameter(bool_param=True))]), "LABEL['x']"),
    (
        "no classes",
        request(outputs=[output("PROBABILITIES", classification=Parameter(int64_param=0))]),
        "PROBABILITIES",
    ),
    ("classes of labels", request(outputs=[output("LABEL", classification=Parameter(int64_param=1))]), "LABEL"),
    ("no name", request(model_name=""), "model_name"),
    ("resource name", request(model_name="models/mood"), "model_name"),
    ("no number", request(model_version="latest"), "model_version"),
    ("alias and version", request(model_name="mood@production", model_version="1"), "model_version"),
]


@pytest.mark.parametrize(("bad", "field"), [entry[1:] for entry in BAD], ids=[entry[0] for entry in BAD])
async def test_bad_input(suite: Any, stub: Any, refusal: Any, bad: Any, field: str) -> None:
    status, found, text = await refusal(stub.ModelInfer(bad))
    assert (status, found) == ("INVALID_ARGUMENT", field)
    assert text.startswith(f"{field}: ")
    assert suite.token_request_ids == suite.triton.request_ids == []


@pytest.mark.parametrize("fields", [{"model_name": "nobody"}, {"model_name": "mood@beta"}, {"model_version": "9"}])
async def test_what_does_not_exist(stub: Any, refusal: Any, fields: Any) -> None:
    assert (await refusal(stub.ModelInfer(request(**fields))))[0] == "NOT_FOUND"


async def test_ids_that_the_base_does_not_know_are_the_callers_fault(suite: Any, stub: Any, refusal: Any) -> None:
    suite.triton.error = InvalidArgument("rows", "id 9999 is not in the vocabulary")
    assert (await refusal(stub.ModelInfer(request(ids([9999])))))[:2] == ("INVALID_ARGUMENT", "INPUT_IDS")
    assert (await refusal(stub.ModelInfer(request(texts("order")))))[0] == "FAILED_PRECONDITION"


async def test_the_timeout_shortens_the_deadline(suite: Any, client: Any) -> None:
    suite.triton.seconds = 5
    with pytest.raises(InferenceServerException) as caught:
        await client.infer("mood", [text_input("order")], timeout=100_000)
    assert caught.value.status() == "StatusCode.DEADLINE_EXCEEDED"


async def test_a_stream_of_tritonclient(suite: Any, predict: Any) -> None:
    """Many in flight, in order; a bad one among them is one error, and the stream lives on."""

    def ask() -> list[Any]:
        answers: queue.Queue[Any] = queue.Queue()
        with sync_client.InferenceServerClient(suite.inference.address) as client:
            client.start_stream(lambda result, error: answers.put((result, error)))
            for index in range(60):
                text = "" if index == 7 else TEXTS[index % 3]
                inputs, last = [text_input(text)], index == 59
                client.async_stream_infer("mood", inputs, request_id=str(index), enable_empty_final_response=last)
            found = [answers.get(timeout=30) for _ in range(60)]
            client.stop_stream()
        return found

    suite.triton.seconds = 0.02
    found = await asyncio.to_thread(ask)
    rows, _ = await predict("mood", *TEXTS)
    assert found[59][0].get_response().parameters["triton_final_response"].bool_param
    assert found[7][0] is None
    assert found[7][1].message().startswith("INVALID_ARGUMENT: TEXT[0]: ")
    for index, (result, error) in enumerate(found):
        if index != 7:
            assert error is None
            assert result.get_response().id == str(index)
            assert result.as_numpy("PROBABILITIES")[0, 1] == np.float32(rows[index % 3]["good"])


async def test_a_stream_of_tritonclient_aio(client: Any) -> None:
    async def requests() -> Any:
        for index in range(3):
            yield {
                "model_name": "nobody" if index == 1 else "mood",
                "inputs": [text_input("order")],
                "request_id": str(index),
            }

    answers = [answer async for answer in client.stream_infer(requests())]
    assert [error is None for _, error in answers] == [True, False, True]
    assert [result and result.get_response().id for result, _ in answers] == ["0", None, "2"]


async def test_a_stream_runs_no_more_than_its_share_at_a_time(suite: Any, stub: Any, eventually: Any) -> None:
    await eventually(lambda: suite.inference.samples(), lambda value: value("symbiont_inference_versions_waiting") == 0)
    suite.triton.seconds = 1.0
    call = stub.ModelStreamInfer()
    for index in range(40):
        await call.write(request(id=str(index)))
    async with asyncio.timeout(20):
        assert (await call.read()).infer_response.id == "0"
        assert len(suite.triton.request_ids) <= 33
        await call.done_writing()
        assert len(await rest(call)) == 39
    assert suite.triton.asked == 40


async def test_an_unknown_error_in_a_stream_tells_nothing(suite: Any, stub: Any) -> None:
    suite.triton.logits.clear()
    call = stub.ModelStreamInfer()
    await call.write(request(id="x"))
    answer = await call.read()
    assert answer.error_message.startswith("INTERNAL: internal error; the log has it under request id ")
    assert answer.infer_response.id == "x"
    await call.done_writing()
    assert not await rest(call)


async def test_a_stream_ends_when_the_service_stops(suite: Any, stub: Any, client: Any, refusal: Any) -> None:
    call = stub.ModelStreamInfer()
    await call.write(request())
    assert not (await call.read()).error_message
    assert await client.is_server_ready()
    suite.inference.lifecycle.stopping.set()
    async with asyncio.timeout(5):
        assert (await refusal(call.read()))[0] == "UNAVAILABLE"
    assert not await client.is_server_ready()
    assert await client.is_server_live()


async def test_server_and_models_describe_themselves(client: Any) -> None:
    metadata = await client.get_server_metadata()
    assert (metadata.name, metadata.version) == ("symbiont", version("symbiont"))
    extensions = ["classification", "model_configuration", "model_repository", "schedule_policy", "statistics"]
    assert list(metadata.extensions) == extensions
    assert await client.is_server_live()
    for name, number, ready in (("mood", "", 1), ("mood@production", "", 1), ("mood", "1", 1), ("no", "", 0)):
        assert await client.is_model_ready(name, number) is bool(ready)
    model = await client.get_model_metadata("intent")
    assert (model.name, list(model.versions), model.platform) == ("intent", ["1"], "symbiont")
    assert [(t.name, t.datatype, list(t.shape)) for t in (*model.inputs, *model.outputs)] == [
        ("TEXT", "BYTES", [-1]),
        ("INPUT_IDS", "INT32", [-1, -1]),
        ("ATTENTION_MASK", "INT32", [-1, -1]),
        ("PROBABILITIES", "FP32", [-1, 3]),
        ("LABEL", "BYTES", [-1]),
    ]
    config = (await client.get_model_config("intent")).config
    assert [list(tensor.dims) for tensor in config.output] == [[-1, 3], [-1]]
    with pytest.raises(InferenceServerException, match="nobody"):
        await client.get_model_metadata("nobody")


async def test_a_damaged_bundle_is_not_ready(suite: Any, client: Any) -> None:
    gone = suite.make_version("gone", 1, ["x", "y"], [0.0, 1.0])
    suite.store.delete("bundles", gone.bundle_digest)
    suite.training.promote("gone", "production", gone)
    assert not await client.is_model_ready("gone")


async def test_statistics_count_a_known_load(suite: Any, client: Any, stub: Any, refusal: Any) -> None:
    for _ in range(3):
        await client.infer("mood@production", [text_input(*TEXTS)])
    await refusal(stub.ModelInfer(request(ids(LONG))))
    await stub.ModelInfer(request(model_name="intent"))
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


async def test_the_repository(suite: Any, client: Any, stub: Any, refusal: Any, eventually: Any) -> None:
    suite.training.promote("mood", "beta", suite.make_version("mood", 2, ["bad", "good"], [1.0, 0.0]))

    async def ready() -> Any:
        return (await stub.RepositoryIndex(pb.RepositoryIndexRequest(ready=True))).models

    models = await eventually(ready, lambda found: len(found) == 2)
    assert [(m.name, m.version, m.state) for m in models] == [("intent", "1", "READY"), ("mood", "1", "READY")]
    await client.load_model("mood@beta")
    assert len(suite.triton.request_ids) == 1
    # As KServe sends and reads it: model_name = 1; model_name = 1, isLoaded = 2.
    answer = await stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(repository_name="mood"))
    assert answer.SerializeToString() == b"\n\x04mood\x10\x01"
    assert len(suite.triton.request_ids) == 2
    assert (await refusal(stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="no"))))[0] == "NOT_FOUND"
    with pytest.raises(InferenceServerException, match="parameters"):
        await client.load_model("mood", config="{}")
    with pytest.raises(InferenceServerException, match="not unloaded by hand") as caught:
        await client.unload_model("mood")
    assert caught.value.status() == "StatusCode.FAILED_PRECONDITION"
    suite.triton.error = Unavailable("away")

    async def everything() -> Any:
        return (await client.get_model_repository_index()).models

    models = await eventually(everything, lambda found: found[0].state == "UNAVAILABLE")
    assert [m.reason for m in models] == ["its base model is not loaded in Triton now"] * 2
    assert not await ready()


@pytest.mark.parametrize(
    "method",
    [
        *(f"{kind}SharedMemory{what}" for kind in ("System", "Cuda") for what in ("Status", "Register", "Unregister")),
        "TraceSetting",
        "LogSettings",
    ],
)
async def test_what_is_left_out_says_so(stub: Any, refusal: Any, method: str) -> None:
    descriptor = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name[method]
    message = getattr(pb, descriptor.input_type.name)()
    status, _, text = await refusal(getattr(stub, method)(message))
    assert status == "UNIMPLEMENTED"
    assert "not offered" in text


async def test_health_and_reflection_name_the_service(suite: Any) -> None:
    assert NAME in await suite.inference.listed_services()
    health = health_pb2_grpc.HealthStub(suite.inference.channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(service=NAME))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
