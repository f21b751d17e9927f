"""The tensors that a client and a generator exchange: a request asks for a sequence, stops or renews one."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from symbiont.common.errors import InvalidArgument
from symbiont.engine.generation.types import Finish, Piece, Sampling
from symbiont.engine.row import Ids

INPUT_IDS = "INPUT_IDS"
MAX_TOKENS = "MAX_TOKENS"
TEMPERATURE = "TEMPERATURE"
TOP_P = "TOP_P"
TOP_K = "TOP_K"
REPETITION_PENALTY = "REPETITION_PENALTY"
SEED = "SEED"
# Milliseconds from arrival after which nobody waits.
TIMEOUT_MS = "TIMEOUT_MS"
# The id of the request to stop; alone in its request, which is answered by no tokens.
STOP = "STOP"
# The id of the request whose caller is still there; as STOP.
RENEW = "RENEW"
OUTPUT_IDS = "OUTPUT_IDS"
# Empty until the last response of a sequence.
FINISH = "FINISH"
QUEUED_MS = "QUEUED_MS"

# Name -> type of Triton and of numpy, and the size of the tensor; every input is optional.
INPUTS: Mapping[str, tuple[str, Any, int]] = {
    INPUT_IDS: ("INT32", np.int32, -1),
    MAX_TOKENS: ("INT32", np.int32, 1),
    TEMPERATURE: ("FP32", np.float32, 1),
    TOP_P: ("FP32", np.float32, 1),
    TOP_K: ("INT32", np.int32, 1),
    REPETITION_PENALTY: ("FP32", np.float32, 1),
    SEED: ("UINT32", np.uint32, 1),
    TIMEOUT_MS: ("INT64", np.int64, 1),
    STOP: ("BYTES", np.object_, 1),
    RENEW: ("BYTES", np.object_, 1),
}
OUTPUTS: Mapping[str, tuple[str, Any, int]] = {
    OUTPUT_IDS: ("INT32", np.int32, -1),
    FINISH: ("BYTES", np.object_, 1),
    QUEUED_MS: ("FP32", np.float32, 1),
}

Tensors = dict[str, npt.NDArray[Any]]


def pack_request(ids: Ids, max_tokens: int, sampling: Sampling, timeout_s: float) -> Tensors:
    """Returns the tensors that ask for a sequence."""
    values = {
        MAX_TOKENS: max_tokens,
        TEMPERATURE: sampling.temperature,
        TOP_P: sampling.top_p,
        TOP_K: sampling.top_k,
        REPETITION_PENALTY: sampling.repetition_penalty,
        SEED: sampling.seed,
        TIMEOUT_MS: max(1, round(1000 * timeout_s)),
    }
    scalars = {name: np.array([value], dtype=INPUTS[name][1]) for name, value in values.items()}
    return {INPUT_IDS: np.asarray(ids, dtype=np.int32), **scalars}


def unpack_request(tensors: Tensors) -> tuple[Ids, int, Sampling, float]:
    """The inverse of `pack_request`; the ids are copied, because Triton's memory goes with the request.

    Raises:
        InvalidArgument: a tensor is missing or is not of its size.
    """
    for name, (_, _, size) in INPUTS.items():
        if name not in (STOP, RENEW) and (name not in tensors or (size > 0 and tensors[name].size != size)):
            raise InvalidArgument(name, "is missing, or not of its size")
    value = {name: tensors[name].reshape(-1)[0].item() for name in INPUTS if name not in (STOP, RENEW, INPUT_IDS)}
    sampling = Sampling(value[TEMPERATURE], value[TOP_P], value[TOP_K], value[REPETITION_PENALTY], value[SEED])
    return tensors[INPUT_IDS].reshape(-1).copy(), value[MAX_TOKENS], sampling, value[TIMEOUT_MS] / 1000


def pack_stop(name: str) -> Tensors:
    """Returns the tensors that stop a sequence."""
    return {STOP: np.array([name.encode()], dtype=np.object_)}


def pack_renewal(name: str) -> Tensors:
    """Returns the tensors that say of a sequence that its caller is still there."""
    return {RENEW: np.array([name.encode()], dtype=np.object_)}


def named(tensors: Tensors, kind: str) -> str | None:
    """Returns the sequence that a request stops or renews, as `kind` says; None for one that does not."""
    if kind not in tensors:
        return None
    name = tensors[kind].reshape(-1)[0]
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)


def pack_piece(piece: Piece) -> Tensors:
    """Returns the tensors of a response."""
    return {
        OUTPUT_IDS: np.array(piece.ids, dtype=np.int32),
        FINISH: np.array([(piece.finish or "").encode()], dtype=np.object_),
        QUEUED_MS: np.array([1000 * piece.queued_s], dtype=np.float32),
    }


def unpack_piece(tensors: Tensors) -> Piece:
    """The inverse of `pack_piece`."""
    finish = bytes(tensors[FINISH].reshape(-1)[0]).decode()
    queued_s = float(tensors[QUEUED_MS].reshape(-1)[0]) / 1000
    return Piece(tensors[OUTPUT_IDS].reshape(-1).tolist(), Finish(finish) if finish else None, queued_s)
