"""How texts go to each kind of server, and how labels come back."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

from symbiont.api.inference.v1 import inference_pb2
from symbiont.triton.open_inference import open_inference_pb2 as oip

MODEL = "classifier"
OIP_METHOD = "/inference.GRPCInferenceService/ModelInfer"
PREDICT_METHOD = "/symbiont.inference.v1.InferenceService/Predict"


@dataclass(frozen=True)
class Protocol:
    """`transport` is grpc or http; `path` a method or a path."""

    transport: str
    path: str
    encode: Callable[[Sequence[str]], bytes]
    decode: Callable[[bytes], list[str]]


def _encode_predict(texts: Sequence[str]) -> bytes:
    instances = [inference_pb2.Instance(text=text) for text in texts]
    request = inference_pb2.PredictRequest(model=f"models/{MODEL}", instances=instances, top_k=1)
    return request.SerializeToString()


def _decode_predict(reply: bytes) -> list[str]:
    predictions = inference_pb2.PredictResponse.FromString(reply).predictions
    return [prediction.classification.classes[0].label for prediction in predictions]


def _encode_oip(texts: Sequence[str], columns: Sequence[int]) -> bytes:
    request = oip.ModelInferRequest(model_name=MODEL)
    request.inputs.add(name="TEXT", datatype="BYTES", shape=[len(texts), *columns])
    request.outputs.add(name="LABEL")
    encoded = serialize_byte_tensor(np.array([text.encode() for text in texts], np.object_))
    request.raw_input_contents.append(encoded.item())
    return request.SerializeToString()


def _decode_oip(reply: bytes) -> list[str]:
    response = oip.ModelInferResponse.FromString(reply)
    index = [output.name for output in response.outputs].index("LABEL")
    if response.raw_output_contents:
        values = deserialize_bytes_tensor(response.raw_output_contents[index])
    else:
        values = response.outputs[index].contents.bytes_contents
    return [value.decode() for value in values]


def _encode_json(texts: Sequence[str]) -> bytes:
    return json.dumps({"texts": list(texts)}).encode()


def _decode_json(reply: bytes) -> list[str]:
    found = json.loads(reply)
    return list(found["labels"] if isinstance(found, dict) else found)


PREDICT = Protocol("grpc", PREDICT_METHOD, _encode_predict, _decode_predict)
OPEN_INFERENCE = Protocol("grpc", OIP_METHOD, lambda texts: _encode_oip(texts, []), _decode_oip)
# Triton's own batching needs a dimension beside that of the batch.
OPEN_INFERENCE_2D = Protocol("grpc", OIP_METHOD, lambda texts: _encode_oip(texts, [1]), _decode_oip)


def json_over_http(path: str) -> Protocol:
    """Returns the protocol of a server that takes {"texts": [...]} by POST."""
    return Protocol("http", path, _encode_json, _decode_json)
