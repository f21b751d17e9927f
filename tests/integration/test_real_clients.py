"""Clients as they are: tritonclient, KServe's and buf, each for every task; they get what the native API says."""

import asyncio
import base64
import json
import queue
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import tritonclient.grpc as sync_client
import tritonclient.grpc.aio as aio_client
from google.protobuf import json_format

from support.open_cases import Case, as_values, assert_close, cases, same
from support.open_inference import triton_input
from symbiont.api.inference.v1 import inference_pb2 as pb
from symbiont.client import AsyncClient, Embedding, Endpoints, Prediction, Predictions, QuestionContext, Text
from symbiont.client.inputs import Input

from .conftest import FIELDS, TEXTS, World

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROOT = Path(__file__).parents[2]
KSERVE = ROOT / ".tools/kserve"
BUF = Path(sys.executable).with_name("buf")
Asked = list[tuple[Case, str, dict[str, Any]]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def asked(world: World) -> Asked:
    """The cases with their models, and the outputs that the native API's answers stand for."""
    found: Asked = []
    for case in cases(TEXTS, FIELDS):
        model, _ = world.bundle(**case.shape, seed=21)
        answer = await world.ask(model, case.instances, **case.options)
        found.append((case, model, dict(case.read(answer.predictions))))
    return found


def outputs_of(result: Any) -> dict[str, Any]:
    arrays = {output.name: result.as_numpy(output.name) for output in result.get_response().outputs}
    return {name: [v.decode() if isinstance(v, bytes) else v for v in a.tolist()] for name, a in arrays.items()}


async def test_tritonclient(world: World, asked: Asked) -> None:
    def ask() -> list[Any]:
        with sync_client.InferenceServerClient(world.address) as client:
            return [
                client.infer(model, case.triton_inputs(), parameters=dict(case.parameters), priority=1)
                for case, model, _ in asked
            ]

    for (case, _, expected), result in zip(asked, await asyncio.to_thread(ask), strict=True):
        assert_close(outputs_of(result), expected, case.name)


async def test_tritonclient_aio(world: World, asked: Asked) -> None:
    async with aio_client.InferenceServerClient(world.address) as client:
        for case, model, expected in asked:
            told = await client.get_model_metadata(model)
            assert {name for name, _, _ in case.inputs} <= {tensor.name for tensor in told.inputs}
            assert set(expected) <= {tensor.name for tensor in told.outputs}
            await client.load_model(model)
            for output in expected:
                wanted = [aio_client.InferRequestedOutput(output)]
                parameters = dict(case.parameters)
                result = await client.infer(model, case.triton_inputs(), outputs=wanted, parameters=parameters)
                assert_close(outputs_of(result), {output: expected[output]}, case.name)


async def test_a_stream_of_tritonclient_mixes_tasks(world: World, asked: Asked) -> None:
    def ask() -> list[Any]:
        answers: queue.Queue[Any] = queue.Queue()
        with sync_client.InferenceServerClient(world.address) as client:
            client.start_stream(lambda result, error: answers.put((result, error)))
            for case, model, _ in asked * 3:
                client.async_stream_infer(model, case.triton_inputs(), parameters=dict(case.parameters))
            found = [answers.get(timeout=60) for _ in asked * 3]
            client.stop_stream()
        return found

    for (case, _, expected), (result, error) in zip(asked * 3, await asyncio.to_thread(ask), strict=True):
        assert error is None, case.name
        assert_close(outputs_of(result), expected, case.name)


async def test_token_ids_of_pairs_and_of_tasks_on_tokens(world: World) -> None:
    """Values as the head gave them, where the caller's own tokens stand."""
    encodings = [world.encode(a, b) for a, b in ((TEXTS[0], TEXTS[4]), (TEXTS[1], TEXTS[5]))]
    width = max(len(e.ids) for e in encodings) + 2
    arrays = {name: np.zeros((2, width), np.int64) for name in ("INPUT_IDS", "ATTENTION_MASK", "TOKEN_TYPE_IDS")}
    for row, e in enumerate(encodings):
        for name, values in zip(arrays, (e.ids, [1] * len(e.ids), e.type_ids), strict=True):
            # On the left, as some tokenizers pad.
            arrays[name][row, width - len(e.ids) :] = values
    inputs = [triton_input(name, values, "INT64") for name, values in arrays.items()]
    rows = [(np.array(e.ids, np.int32), e.type_ids.index(1)) for e in encodings]
    async with aio_client.InferenceServerClient(world.address) as client:
        model, reference = world.bundle(task="score", takes="pair", seed=22)
        scores = (await client.infer(model, inputs)).as_numpy("SCORE")
        expected = [5 / (1 + np.exp(-float(reference.logits(*row)[0]))) for row in rows]
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-4)
        model, reference = world.bundle(task="spans", seed=23)
        logits = (await client.infer(model, inputs)).as_numpy("LOGITS")
        assert logits.shape == (2, width, 2)
        for given, row in zip(logits, rows, strict=True):
            np.testing.assert_allclose(given[-len(row[0]) :], reference.logits(*row), rtol=0, atol=1e-4)
            assert not given[: -len(row[0])].any()
        model, reference = world.bundle(task="entities", num_labels=4, seed=24)
        single = np.array([world.encode(TEXTS[2]).ids], np.int32)
        logits = (await client.infer(model, [triton_input("INPUT_IDS", single, "INT32")])).as_numpy("LOGITS")
        np.testing.assert_allclose(logits[0], reference.logits(single[0]), rtol=0, atol=1e-4)
        model, reference = world.bundle(task="embedding", num_labels=8, seed=25)
        vector = (await client.infer(model, [triton_input("INPUT_IDS", single, "INT32")])).as_numpy("EMBEDDING")[0]
        values = reference.logits(single[0])
        np.testing.assert_allclose(vector, values / np.linalg.norm(values), rtol=0, atol=1e-4)


async def test_kserves_client(world: World, asked: Asked) -> None:
    """In a process of its own: its messages and tritonclient's have the same names."""
    assert KSERVE.is_dir(), "KServe's client is missing: make .tools/kserve/.installed"
    calls = [
        {"name": case.name, "model": model, "inputs": case.inputs, "parameters": case.parameters}
        for case, model, _ in asked
    ]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(ROOT / "tests/support/kserve_calls.py")),
        env={"PYTHONPATH": str(KSERVE), "PATH": ""},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(json.dumps({"address": world.address, "calls": calls}).encode())
    assert process.returncode == 0, err.decode()
    found = json.loads(out)
    assert found["server"] == [True, True]
    for (case, _, expected), answer in zip(asked, found["answers"], strict=True):
        assert answer["ready"] is True
        for way in ("typed", "raw"):
            assert_close(answer[way], expected, f"{case.name} {way}")


def plain(instance: pb.Instance) -> Input:
    """Returns an instance as a caller of the Python client writes it."""
    fields = {field.name: getattr(field, field.WhichOneof("value")) for field in instance.fields}
    match instance.WhichOneof("input"):
        case "pair":
            return instance.pair.first, instance.pair.second
        case "question_context":
            return QuestionContext(instance.question_context.question, instance.question_context.context)
        case _:
            return Text(instance.text, fields) if fields else instance.text


def read_by_client(prediction: Prediction) -> Any:
    result = prediction.result
    return result.values.tolist() if isinstance(result, Embedding) else asdict(result)


async def test_the_python_client(world: World, asked: Asked) -> None:
    async with AsyncClient(Endpoints(inference=world.address)) as client:
        for case, model, _ in asked:
            options = {name: value for name, value in case.options.items() if name != "offset_unit"}
            unit: Any = case.parameters.get("offset_unit", "code_point")
            inputs = [plain(instance) for instance in case.instances]
            whole = await client.predict(model, inputs, offset_unit=unit, **options)
            answer = await world.ask(model, case.instances, **case.options)
            for given, message in zip(whole.predictions, answer.predictions, strict=True):
                name = message.WhichOneof("result")
                value = getattr(message, name)
                expected = list(value.values) if name == "embedding" else as_values(value)
                same(read_by_client(given), expected, case.name)
            batches = ((str(index), [each]) for index, each in enumerate(inputs))
            stream = client.predict_stream(model, batches, offset_unit=unit, **options)
            parts = {identifier: found async for identifier, found in stream}
            for index, given in enumerate(whole.predictions):
                found = parts[str(index)]
                assert isinstance(found, Predictions)
                same(read_by_client(found.predictions[0]), read_by_client(given), f"{case.name} {index}")
        model = asked[0][1]
        (explanation,) = (await client.explain(model, [TEXTS[1]])).explanations
        best = (await client.predict(model, [TEXTS[1]])).predictions[0]
        assert (explanation.label, explanation.value) == (best.label, pytest.approx(best.probability, abs=1e-5))
        assert all(TEXTS[1][word.start : word.end] == word.text for word in explanation.words)


async def curl(world: World, method: str, body: dict[str, Any]) -> Any:
    """Calls a method as `buf curl` does for anybody: what it sends it knows by reflection alone."""
    command = [str(BUF), "curl", "--http2-prior-knowledge", "--protocol", "grpc", "-d", json.dumps(body)]
    command.append(f"http://{world.address}/{method}")
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_buf_curl_on_the_open_protocol(world: World, asked: Asked) -> None:
    service = "inference.GRPCInferenceService"
    assert (await curl(world, f"{service}/ServerLive", {})) == {"live": True}
    case, model, expected = asked[0]
    contents = {"bytesContents": [base64.b64encode(text.encode()).decode() for text in TEXTS]}
    tensor = {"name": "TEXT", "datatype": "BYTES", "shape": [len(TEXTS)], "contents": contents}
    answer = await curl(world, f"{service}/ModelInfer", {"modelName": model, "inputs": [tensor]})
    outputs = {output["name"]: output["contents"] for output in answer["outputs"]}
    given = np.array(outputs["PROBABILITIES"]["fp32Contents"]).reshape(len(TEXTS), 3).tolist()
    labels = [base64.b64decode(label).decode() for label in outputs["LABEL"]["bytesContents"]]
    assert_close({"PROBABILITIES": given, "LABEL": labels}, expected, case.name)


async def test_buf_curl_on_the_native_api(world: World, asked: Asked) -> None:
    for case, model, expected in asked:
        request = pb.PredictRequest(model=model, instances=case.instances, **case.options)
        answer = await curl(world, "symbiont.inference.v1.InferenceService/Predict", json_format.MessageToDict(request))
        response = json_format.ParseDict(answer, pb.PredictResponse())
        outputs = {
            name: [json.dumps(row) if isinstance(row, dict) else row for row in rows]
            for name, rows in case.read(response.predictions).items()
        }
        assert_close(outputs, expected, case.name)
