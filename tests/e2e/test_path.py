"""The path, end to end: what is served is what was trained, for everyone in a mixed batch."""

import asyncio
import json
import time
import urllib.request
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import torch
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from peft import PeftModel
from prometheus_client.parser import text_string_to_metric_families
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModel
from tritonclient import grpc as triton

from support import proofs
from support.waiting import until_sync
from symbiont.api.inference.v1 import inference_pb2, inference_pb2_grpc
from symbiont.bundle import export_peft, read_manifest
from symbiont.client import AsyncClient, InvalidArgumentError, NotFoundError, Prediction, RequestError
from symbiont.local.encryption import open_artifacts
from symbiont.triton.host_model import host_name

from .conftest import Suite

# Of each model.
TEXTS = proofs.size("TEXTS", small=80, whole=2000)
# More would be told to come back later: a call waits for no longer than it has time.
IN_FLIGHT = 60


def in_process(suite: Suite, model: str, texts: list[str], folder: Path) -> np.ndarray:
    """Returns probabilities [texts, labels] by plain transformers, PEFT and tokenizers, one text at a time."""
    store = open_artifacts(suite.home)
    version = suite.client.get_model(model).aliases[0].model_version
    manifest = read_manifest(store, version.bundle_digest)
    tokenizer = Tokenizer.from_file(str(store.path("tokenizers", version.tokenizer_digest) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(manifest.max_tokens)
    base: Any = AutoModel.from_pretrained(store.path("bases", version.base_digest))
    if manifest.method.kind == "lora":
        export_peft(store, version.bundle_digest, folder / model)
        base = PeftModel.from_pretrained(base, folder / model)
    base.eval()
    head = load_file(store.path("bundles", version.bundle_digest) / "head.safetensors")
    rows = []
    with torch.inference_mode():
        for text in texts:
            ids = torch.tensor([tokenizer.encode(text).ids])
            pooled = base(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state.mean(1)
            rows.append(torch.softmax(pooled @ head["weight"].T + head["bias"], 1)[0].numpy())
    return np.stack(rows)


async def served(suite: Suite, texts: dict[str, list[str]], size: int) -> dict[str, list[Prediction]]:
    """Asks all models, each as many texts, in calls of `size` texts, `IN_FLIGHT` of them together."""
    room = asyncio.Semaphore(IN_FLIGHT)
    async with AsyncClient(suite.endpoints, credentials=suite.credentials) as client:

        async def ask(model: str, part: list[str]) -> Iterable[Prediction]:
            async with room:
                return (await client.predict(model, part)).predictions

        # One call of each model in turn, so that calls of all are in flight together.
        starts = range(0, TEXTS, size)
        turns = [(model, rows[start : start + size]) for start in starts for model, rows in texts.items()]
        done = await asyncio.gather(*(ask(*turn) for turn in turns))
    answers: dict[str, list[Prediction]] = {model: [] for model in texts}
    for (model, _), predictions in zip(turns, done, strict=True):
        answers[model].extend(predictions)
    return answers


ROWS_OF_REQUESTS = ("symbiont_inference_request_rows_sum", "symbiont_inference_request_rows_count")


@pytest.mark.proof
def test_served_equals_in_process_in_mixed_batches(suite: Suite, tmp_path: Path) -> None:
    texts = {
        # Held-out rows first, then those that came last in training's order.
        model: [row.text for row in (*labelled.held_out, *reversed(labelled.train))][:TEXTS]
        for model, labelled in suite.models.items()
    }
    before = scrape(suite, "inference")
    answers = asyncio.run(served(suite, texts, size=5))
    after = scrape(suite, "inference")
    rows, requests = (after[name] - before[name] for name in ROWS_OF_REQUESTS)
    # Calls of the three models shared requests: else nothing would have been mixed.
    assert rows == len(texts) * TEXTS
    assert requests < len(texts) * TEXTS / 5
    for model, rows in texts.items():
        expected = in_process(suite, model, rows, tmp_path)
        labels = sorted({row.label for row in suite.models[model].train})
        found = np.array([[{c.label: c.probability for c in p.classes}[x] for x in labels] for p in answers[model]])
        assert found.shape == expected.shape == (TEXTS, len(labels))
        agreement = np.mean([p.label == labels[n] for p, n in zip(answers[model], expected.argmax(1), strict=True)])
        worst = np.abs(found - expected).max()
        print(f"{model}: {TEXTS} texts, {agreement:.2%} of labels agree, probabilities differ by at most {worst:.1e}")
        assert agreement >= 0.995, model
        assert worst < 1e-4, model
        assert len({p.label for p in answers[model]}) > 1
    # What computes on CPU by default; torch would agree with itself.
    assert " computes in openvino, fp32" in (suite.home.logs / "triton.log").read_text()


def test_the_reply_names_what_answered(suite: Suite) -> None:
    answer = suite.client.predict("sentiment", ["A film that I would gladly see again."], top_k=1)
    version = suite.client.get_model_version("models/sentiment/versions/1")
    assert answer.model_version == version.name
    assert (answer.base_digest, answer.tokenizer_digest) == (version.base_digest, version.tokenizer_digest)
    assert answer.bundle_digest == version.bundle_digest
    assert len(answer.predictions[0].classes) == 1
    assert answer.stages.infer > 0
    assert suite.client.predict("models/sentiment/versions/1", ["Good."]).bundle_digest == version.bundle_digest


def test_all_bundles_live_on_one_host(suite: Suite) -> None:
    bases = {suite.client.get_model(model).aliases[0].model_version.base_digest for model in suite.models}
    (base,) = bases
    with suite.triton(suite.stack.record.addresses["triton"]) as client:
        assert client.is_model_ready(host_name(base))
    with urllib.request.urlopen(suite.stack.record.metrics_urls["triton"]) as response:
        families = list(text_string_to_metric_families(response.read().decode()))
    models = {sample.labels.get("model") for family in families for sample in family.samples}
    assert models - {None} == {host_name(base)}


def test_tritonclient_reaches_the_host_directly(suite: Suite) -> None:
    version = suite.client.get_model("sentiment").aliases[0].model_version
    store = open_artifacts(suite.home)
    path = store.path("tokenizers", version.tokenizer_digest) / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    text = "A film that I would gladly see again."
    ids = np.array([tokenizer.encode(text).ids], np.int32)
    values = [
        ("INPUT_IDS", ids, "INT32"),
        ("ROW_LENGTHS", np.array([[ids.size]], np.int32), "INT32"),
        ("BUNDLE_DIGEST", np.array([[version.bundle_digest.encode()]], np.object_), "BYTES"),
    ]
    inputs = []
    for name, value, kind in values:
        tensor = triton.InferInput(name, list(value.shape), kind)
        tensor.set_data_from_numpy(value)
        inputs.append(tensor)
    with suite.triton(suite.stack.record.addresses["triton"]) as client:
        logits = client.infer(host_name(version.base_digest), inputs).as_numpy("OUTPUT")[0]
    expected = suite.client.predict("sentiment", [text]).predictions[0]
    probabilities = np.exp(logits) / np.exp(logits).sum()
    assert probabilities.max() == pytest.approx(expected.probability, abs=1e-5)


def test_tritonclient_gets_from_inference_what_predict_says(suite: Suite) -> None:
    texts = [row.text for row in suite.models["sentiment"].held_out[:20]]
    expected = suite.client.predict("sentiment", texts).predictions
    tensor = triton.InferInput("TEXT", [len(texts)], "BYTES")
    tensor.set_data_from_numpy(np.array([text.encode() for text in texts], np.object_))
    with suite.triton(suite.endpoints.inference) as client:
        assert client.is_model_ready("sentiment")
        result = client.infer("sentiment", [tensor])
    assert [label.decode() for label in result.as_numpy("LABEL")] == [p.label for p in expected]
    np.testing.assert_allclose(
        result.as_numpy("PROBABILITIES").max(1), [p.probability for p in expected], rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(
    ("process", "service"),
    [
        ("tokenization", "symbiont.tokenization.v1.TokenizationService"),
        ("training", "symbiont.training.v1.TrainingJobService"),
        ("inference", "symbiont.inference.v1.InferenceService"),
    ],
)
def test_reflection_lists_the_services(suite: Suite, process: str, service: str) -> None:
    with closing(suite.channel(process)) as channel:
        listed = set(ProtoReflectionDescriptorDatabase(channel).get_services())
    assert {service, "grpc.health.v1.Health"} <= listed


@pytest.mark.parametrize(
    ("model", "texts", "kind", "field"),
    [
        ("nobody", ["x"], NotFoundError, "model"),
        ("sentiment@staging", ["x"], NotFoundError, "model"),
        ("models/sentiment/versions/9", ["x"], NotFoundError, "model"),
        ("sentiment@", ["x"], InvalidArgumentError, "model"),
        ("sentiment", [], InvalidArgumentError, "instances"),
        ("sentiment", [""], InvalidArgumentError, "instances[0].text"),
        ("sentiment", ["fine", " \n"], InvalidArgumentError, "instances[1].text"),
        ("sentiment", ["x" * (1 << 20)], InvalidArgumentError, "instances[0].text"),
        ("sentiment", ["x"] * 10_000, InvalidArgumentError, "instances"),
    ],
)
def test_bad_input_is_refused_by_name(
    suite: Suite, model: str, texts: list[str], kind: type[RequestError], field: str
) -> None:
    with pytest.raises(kind) as caught:
        suite.client.predict(model, texts)
    assert caught.value.field == field
    assert caught.value.message.startswith(f"{field}: ")
    assert caught.value.request_id


def scrape(suite: Suite, process: str) -> dict[str, float]:
    """Returns the samples of a process, each name with its sum over all labels."""
    with urllib.request.urlopen(suite.stack.record.metrics_urls[process]) as response:
        families = list(text_string_to_metric_families(response.read().decode()))
    sums: dict[str, float] = {}
    for sample in (sample for family in families for sample in family.samples):
        sums[sample.name] = sums.get(sample.name, 0) + sample.value
    return sums


def test_the_metrics_of_all_four_count_a_known_load(suite: Suite) -> None:
    names = ("tokenization", "inference", "training", "triton")

    def settled() -> bool:
        found = scrape(suite, "triton").get("nv_inference_request_success_total", 0)
        time.sleep(0.5)
        return scrape(suite, "triton").get("nv_inference_request_success_total", 0) == found

    # Triton counts a request after it has answered: those of tests before this one are to be counted.
    until_sync(settled)
    before = {name: scrape(suite, name) for name in names}
    for _ in range(7):
        suite.client.predict("question-type", ["What is a bank ?", "Who owns it ?", "Where ?"])
    with pytest.raises(InvalidArgumentError):
        suite.client.predict("question-type", [])
    suite.client.get_model("question-type")

    def grown(process: str, sample: str) -> float:
        return scrape(suite, process).get(sample, 0) - before[process].get(sample, 0)

    # An RPC is counted once its status has been sent.
    until_sync(lambda: grown("inference", "symbiont_rpc_seconds_count") >= 8)
    assert grown("inference", "symbiont_inference_instances_total") == 21
    assert grown("inference", "symbiont_inference_refusals_total") == 1
    assert grown("inference", "symbiont_rpc_seconds_count") == 8
    assert grown("tokenization", "symbiont_tokenization_texts_total") == 21
    assert grown("tokenization", "symbiont_rpc_seconds_count") == 7
    assert grown("training", "symbiont_rpc_seconds_count") >= 1
    assert grown("inference", "symbiont_inference_request_rows_sum") == 21
    # One request a call, unless a host is so slow that a call's rows go in parts: Triton counts what was sent.
    requests = grown("inference", "symbiont_inference_request_rows_count")
    assert 7 <= requests <= 21
    assert grown("triton", "nv_inference_request_success_total") == requests


def test_a_request_id_crosses_the_services(suite: Suite) -> None:
    request = inference_pb2.PredictRequest(model="models/nobody", instances=[inference_pb2.Instance(text="x")])
    with closing(suite.channel("inference")) as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError):
            stub.Predict(request, metadata=[("x-request-id", "e2e-crossing")])
    for name in ("inference", "training"):
        lines = [json.loads(line) for line in (suite.home.logs / f"{name}.log").read_text().splitlines()]
        assert any(line.get("request_id") == "e2e-crossing" for line in lines), name
