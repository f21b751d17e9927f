"""A stand-in for a Triton with its vLLM backend: a real gRPC server that keeps to the backend's documented contract.

It repeats the words of a prompt, one a response. What it was asked, and which streams were cancelled, is noted.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import InferResult
from tritonclient.utils import serialize_byte_tensor

from symbiont.triton.open_inference import open_inference_pb2 as pb
from symbiont.triton.open_inference import open_inference_pb2_grpc as pb_grpc

REQUIRED = {"text_input"}
OPTIONAL = {
    "stream": "BOOL",
    "sampling_parameters": "BYTES",
    "exclude_input_in_output": "BOOL",
    "return_finish_reason": "BOOL",
    "return_num_input_tokens": "BOOL",
    "return_num_output_tokens": "BOOL",
}


class FakeVllm(pb_grpc.GRPCInferenceServiceServicer):
    """One server; models appear by RepositoryModelLoad."""

    def __init__(self) -> None:
        self.models: dict[str, dict[str, Any]] = {}
        self.asked: list[dict[str, Any]] = []
        self.cancelled = 0
        # Of each text; None for all of them.
        self.words_until_hang: int | None = None
        self.error = ""
        self._server: grpc.aio.Server | None = None
        self._port = 0

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Listens, the second time where it did before."""
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        pb_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        self._port = self._server.add_insecure_port(self.address)
        await self._server.start()

    async def stop(self) -> None:
        """Ends as a crash would: models are forgotten."""
        assert self._server is not None
        self.models.clear()
        await self._server.stop(0)

    async def ModelReady(self, request: Any, context: Any) -> Any:
        return pb.ModelReadyResponse(ready=request.name in self.models)

    async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:
        config = json.loads(request.parameters["config"].string_param)
        assert (config["backend"], config["model_transaction_policy"]) == ("vllm", {"decoupled": True})
        arguments = json.loads(request.parameters["file:1/model.json"].bytes_param)
        self.models[request.model_name] = {"config": config, "arguments": arguments}
        return pb.RepositoryModelLoadResponse()

    async def ModelStreamInfer(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
        try:
            async for request in request_iterator:
                async for response in self._answer(request):
                    yield response
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def _answer(self, request: Any) -> AsyncIterator[Any]:
        if request.model_name not in self.models:
            text = f"Request for unknown model: '{request.model_name}' is not found"
            yield pb.ModelStreamInferResponse(error_message=text)
            return
        if self.error:
            yield pb.ModelStreamInferResponse(error_message=self.error)
            return
        given = _read(request)
        self.asked.append(given)
        parameters = json.loads(given["sampling_parameters"])
        words, count = given["text_input"].split(), parameters["max_tokens"]
        reason = "length" if len(words) >= count else "stop"
        for index, word in enumerate(words[:count]):
            if index == self.words_until_hang:
                await asyncio.sleep(60)
            last = index == min(count, len(words)) - 1
            yield _response(request, f" {word}" if index else word, reason if last else "", len(words))
        # Decoupled: the end is a response of its own, with nothing in it.
        yield _final(request)


def _read(request: Any) -> dict[str, Any]:
    names = {tensor.name: tensor.datatype for tensor in request.inputs}
    assert REQUIRED <= names.keys() <= REQUIRED | OPTIONAL.keys(), names
    as_result = pb.ModelInferResponse(outputs=[], raw_output_contents=request.raw_input_contents)
    for tensor in request.inputs:
        assert list(tensor.shape) == [1]
        assert tensor.datatype == OPTIONAL.get(tensor.name, "BYTES")
        as_result.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
    values = {name: InferResult(as_result).as_numpy(name)[0] for name in names}
    return {name: value.decode() if isinstance(value, bytes) else bool(value) for name, value in values.items()}


def _response(request: Any, text: str, reason: str, read: int) -> Any:
    response = pb.ModelInferResponse(model_name=request.model_name, id=request.id)
    response.parameters["triton_final_response"].bool_param = False
    for name, datatype, value in (
        ("text_output", "BYTES", np.array([text.encode()], np.object_)),
        # vLLM says None as text until the end.
        ("finish_reason", "BYTES", np.array([(reason or "None").encode()], np.object_)),
        ("num_input_tokens", "UINT32", np.array([read], np.uint32)),
        ("num_output_tokens", "UINT32", np.array([1], np.uint32)),
    ):
        response.outputs.add(name=name, datatype=datatype, shape=[1])
        raw = serialize_byte_tensor(value).item() if datatype == "BYTES" else value.tobytes()
        response.raw_output_contents.append(raw)
    return pb.ModelStreamInferResponse(infer_response=response)


def _final(request: Any) -> Any:
    response = pb.ModelInferResponse(model_name=request.model_name, id=request.id)
    response.parameters["triton_final_response"].bool_param = True
    return pb.ModelStreamInferResponse(infer_response=response)
