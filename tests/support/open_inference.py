"""Messages of the Open Inference Protocol: made by tritonclient, and by hand as others do."""

import struct
from typing import Any

import numpy as np
from tritonclient.grpc import InferInput
from tritonclient.grpc import service_pb2 as pb

Request, Parameter = pb.ModelInferRequest, pb.InferParameter


def triton_input(name: str, values: Any, datatype: str) -> Any:
    made = InferInput(name, values.shape, datatype)
    return made.set_data_from_numpy(values)


def text_input(*texts: str, name: str = "TEXT") -> Any:
    return triton_input(name, np.array([text.encode() for text in texts], dtype=np.object_), "BYTES")


def typed(
    name: str = "TEXT", datatype: str = "BYTES", shape: Any = (1,), parameters: Any = None, **contents: Any
) -> Any:
    tensor = Request.InferInputTensor(name=name, datatype=datatype, shape=shape, contents=contents)
    for key, value in (parameters or {}).items():
        tensor.parameters[key].CopyFrom(value)
    return tensor


def texts(*values: str, name: str = "TEXT") -> Any:
    return typed(name, shape=(len(values),), bytes_contents=[value.encode() for value in values])


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
