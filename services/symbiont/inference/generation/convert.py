"""Between the messages of Symbiont's services and the generation domain."""

import secrets

import numpy as np
from google.protobuf.duration_pb2 import Duration

from symbiont.api.inference.v1 import generation_pb2 as pb
from symbiont.api.tokenization.v1 import tokenization_pb2
from symbiont.api.training.v1 import base_model_pb2
from symbiont.common.resources import parse_name
from symbiont.engine.generation.types import Sampling
from symbiont.inference.generation import types
from symbiont.inference.tokens import Ids

_ROLES = {
    pb.CHAT_ROLE_SYSTEM: "system",
    pb.CHAT_ROLE_USER: "user",
    pb.CHAT_ROLE_ASSISTANT: "assistant",
}
_BACKENDS = {
    types.Backend.SYMBIONT: pb.GENERATION_BACKEND_SYMBIONT,
    types.Backend.VLLM: pb.GENERATION_BACKEND_VLLM,
}
_REASONS = {
    types.Reason.STOP: pb.FINISH_REASON_STOP,
    types.Reason.LENGTH: pb.FINISH_REASON_LENGTH,
    types.Reason.EOS: pb.FINISH_REASON_EOS,
    types.Reason.CANCELLED: pb.FINISH_REASON_CANCELLED,
}


def call_from_proto(request: pb.GenerateRequest) -> types.GenerateCall:
    """Reads a GenerateRequest; a role that is not known reads as none, which is refused by its name."""
    given = request.WhichOneof("input")
    messages = [types.Message(_ROLES.get(m.role, ""), m.content) for m in request.chat.messages]  # type: ignore[arg-type]
    return types.GenerateCall(
        base_model=request.base_model,
        prompt=request.prompt if given == "prompt" else None,
        messages=messages if given == "chat" else None,
        sampling=_sampling_from_proto(request.sampling),
        max_tokens=request.max_tokens,
        stop=list(request.stop),
    )


def _sampling_from_proto(message: pb.Sampling) -> Sampling:
    return Sampling(
        temperature=message.temperature,
        top_p=message.top_p or 1.0,
        top_k=message.top_k,
        repetition_penalty=message.repetition_penalty or 1.0,
        seed=message.seed if message.HasField("seed") else secrets.randbits(32),
    )


def event_to_proto(event: types.Event) -> pb.GenerateResponse:
    """Makes a GenerateResponse."""
    match event:
        case types.Started():
            return pb.GenerateResponse(start=pb.GenerationStart(served_generator=_served_to_proto(event)))
        case types.Delta():
            return pb.GenerateResponse(delta=pb.TextDelta(text=event.text, output_tokens=event.output_tokens))
        case types.Ended():
            return pb.GenerateResponse(end=_end_to_proto(event))


def _served_to_proto(event: types.Started) -> pb.ServedGenerator:
    return pb.ServedGenerator(
        base_model=event.generator.name,
        base_digest=event.generator.base.digest,
        tokenizer_digest=event.generator.base.tokenizer_digest,
        backend=_BACKENDS[event.backend],
    )


def _end_to_proto(event: types.Ended) -> pb.GenerationEnd:
    times = {name: _duration(seconds) for name, seconds in event.seconds.items()}
    return pb.GenerationEnd(
        finish_reason=_REASONS[event.reason],
        prompt_tokens=event.prompt_tokens,
        output_tokens=event.output_tokens,
        stop=event.stop,
        times=pb.GenerationTimes(**times, tokens_per_second=event.tokens_per_second),
    )


def base_from_proto(message: base_model_pb2.BaseModel) -> types.Base:
    """Reads a BaseModel of the registry."""
    return types.Base(parse_name("name", "bases", message.name), message.digest, message.tokenizer_digest)


def ids_from_proto(response: tokenization_pb2.TokenizeResponse) -> Ids:
    """Reads the one row of a TokenizeResponse."""
    return np.array(response.ids, dtype=np.int32)


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration
