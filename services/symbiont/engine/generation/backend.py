"""The decoupled Python backend model that Triton runs: takes sequences in and sends their tokens as they are made."""

import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

# Exists only inside Triton's own Python process.
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import InvalidArgument, NotFound, SymbiontError
from symbiont.engine.generation import wire
from symbiont.engine.generation.generator import Generator
from symbiont.engine.generation.settings import GeneratorSettings
from symbiont.engine.generation.types import Piece, Task
from symbiont.engine.wire import encode_error

# By name: Triton fills in the error class only after it has imported this module.
_CODES: dict[type[SymbiontError], str] = {InvalidArgument: "INVALID_ARG", NotFound: "NOT_FOUND"}


class TritonPythonModel:
    """One generator. Triton makes it, calls `initialize`, then `execute` from one thread, and `finalize` at the end."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the model; an exception here makes Triton report that it cannot be loaded."""
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
        try:
            self._generator = _open(json.loads(args["model_config"])["parameters"])
        except SymbiontError as exc:
            raise pb_utils.TritonModelException(encode_error(exc)) from exc

    def execute(self, requests: Sequence[Any]) -> None:
        """Takes sequences in, stops or renews some; returns at once.

        Triton could be asked of each sequence whether it was cancelled, but under load that question was never answered
        and held everything up (a condition that nobody signals): callers say themselves that they are still there.
        """
        for request in requests:
            sender = request.get_response_sender()
            send = _sending(sender)
            tensors = _tensors(request)
            try:
                if self._control(tensors):
                    sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
                    continue
                ids, max_tokens, sampling, timeout_s = wire.unpack_request(tensors)
                name = request.request_id()
                self._generator.submit(Task(name, ids, max_tokens, sampling, timeout_s, send))
            except SymbiontError as exc:
                send(exc)

    def _control(self, tensors: wire.Tensors) -> bool:
        """Stops or renews a sequence; False for a request that asks for one."""
        if (name := wire.named(tensors, wire.STOP)) is not None:
            self._generator.stop(name)
        elif (name := wire.named(tensors, wire.RENEW)) is not None:
            self._generator.renew(name)
        else:
            return False
        return True

    def finalize(self) -> None:
        """Ends every sequence."""
        self._generator.close()


def _open(parameters: dict[str, dict[str, str]]) -> Generator:
    settings = GeneratorSettings.from_parameters({name: value["string_value"] for name, value in parameters.items()})
    store = ArtifactStore(settings.artifact_root)
    store.path("bases", settings.base_digest)
    # Here, because importing torch takes seconds, which the refusal of a missing base need not wait for.
    from symbiont.engine.generation.torch_model import TorchLanguageModel

    model = TorchLanguageModel(store, settings.base_digest, threads=settings.threads, device=settings.device)
    return Generator(
        model,
        max_sequences=settings.max_sequences,
        max_waiting=settings.max_waiting,
        token_budget=settings.token_budget,
        lease_s=settings.lease_s,
    )


def _tensors(request: Any) -> wire.Tensors:
    found = {name: pb_utils.get_input_tensor_by_name(request, name) for name in wire.INPUTS}
    return {name: tensor.as_numpy() for name, tensor in found.items() if tensor is not None}


def _sending(sender: Any) -> Callable[[Piece | SymbiontError], None]:
    def send(piece: Piece | SymbiontError) -> None:
        last = isinstance(piece, SymbiontError) or piece.finish is not None
        flags = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL if last else 0
        sender.send(_response(piece), flags=flags)

    return send


def _response(piece: Piece | SymbiontError) -> Any:
    if isinstance(piece, SymbiontError):
        code = getattr(pb_utils.TritonError, _CODES.get(type(piece), "INTERNAL"))
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(encode_error(piece), code))
    tensors = [pb_utils.Tensor(name, value) for name, value in wire.pack_piece(piece).items()]
    return pb_utils.InferenceResponse(output_tensors=tensors)
