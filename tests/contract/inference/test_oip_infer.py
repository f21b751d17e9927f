"""inference.GRPCInferenceService answers what Predict says, to NVIDIA's own clients and to messages made by hand."""

import asyncio
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as sync_client
import tritonclient.grpc.aio as aio_client
from tokenizers import Tokenizer
from tritonclient.utils import InferenceServerException

from support.open_inference import Parameter, Request, ids, raw, request, text_input, texts, triton_input, typed
from symbiont.common.errors import InvalidArgument

TEXTS = ["Where is my order?", "请帮我取消订单", "refund"]


async def test_tritonclient_gets_what_predict_says(suite: Any, predict: Any) -> None:
    def ask() -> Any:
        with sync_client.InferenceServerClient(suite.inference.address) as client:
            return client.infer(
                "intent@production", [text_input(*TEXTS)], request_id="seven", priority=3, timeout=3_000_000
            )

    result = await asyncio.to_thread(ask)
    # The warm-up of the versions, which may have come first, has a time of its own.
    assert min(suite.triton.timeouts) <= 3
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


async def test_token_ids_without_a_mask_are_taken_whole(suite: Any, open_stub: Any) -> None:
    await open_stub.ModelInfer(request(ids([2, 7, 3], [2, 0, 0])))
    assert suite.triton.rows == [[2, 7, 3], [2, 0, 0]]


async def test_typed_in_typed_out_and_raw_in_raw_out(open_stub: Any) -> None:
    given = await open_stub.ModelInfer(request(texts("order", "refund"), id="typed"))
    assert given.id == "typed"
    assert not given.raw_output_contents
    assert [(o.name, o.datatype, list(o.shape)) for o in given.outputs] == [
        ("PROBABILITIES", "FP32", [2, 2]),
        ("LABEL", "BYTES", [2]),
    ]
    assert list(given.outputs[1].contents.bytes_contents) == [b"good", b"good"]
    bare = Request.InferInputTensor(name="TEXT", datatype="BYTES", shape=[2, 1])
    answer = await open_stub.ModelInfer(request(bare, raw_input_contents=[raw(b"order", b"refund")]))
    assert not any(o.HasField("contents") for o in answer.outputs)
    values = np.frombuffer(answer.raw_output_contents[0], dtype="<f4").tolist()
    assert values == list(given.outputs[0].contents.fp32_contents)
    assert answer.raw_output_contents[1] == raw(b"good", b"good")


async def test_kserves_client_says_how_long_raw_contents_are(open_stub: Any) -> None:
    """As its InferInput.set_data_from_numpy does, unless told otherwise."""
    given = typed(shape=(2,), parameters={"binary_data_size": Parameter(int64_param=19)})
    given.ClearField("contents")
    answer = await open_stub.ModelInfer(request(given, raw_input_contents=[raw(b"order", b"refund")]))
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


@pytest.mark.parametrize("fields", [{"model_name": "nobody"}, {"model_name": "mood@beta"}, {"model_version": "9"}])
async def test_what_does_not_exist(open_stub: Any, refusal: Any, fields: Any) -> None:
    assert (await refusal(open_stub.ModelInfer(request(**fields))))[0] == "NOT_FOUND"


async def test_ids_that_the_base_does_not_know_are_the_callers_fault(suite: Any, open_stub: Any, refusal: Any) -> None:
    suite.triton.error = InvalidArgument("rows", "id 9999 is not in the vocabulary")
    assert (await refusal(open_stub.ModelInfer(request(ids([9999])))))[:2] == ("INVALID_ARGUMENT", "INPUT_IDS")
    assert (await refusal(open_stub.ModelInfer(request(texts("order")))))[0] == "FAILED_PRECONDITION"


async def test_the_timeout_shortens_the_deadline(suite: Any, client: Any) -> None:
    suite.triton.seconds = 5
    with pytest.raises(InferenceServerException) as caught:
        await client.infer("mood", [text_input("order")], timeout=100_000)
    assert caught.value.status() == "StatusCode.DEADLINE_EXCEEDED"
