"""What is refused before any work starts."""

import math

from symbiont.common.errors import InvalidArgument
from symbiont.common.resources import parse_name
from symbiont.common.texts import check_text
from symbiont.engine.generation.types import Sampling
from symbiont.inference.generation.bases import FIELD
from symbiont.inference.generation.types import GenerateCall, Limits

MAX_MESSAGES = 1024
MAX_STOPS, MAX_STOP_BYTES = 16, 256
MAX_TEMPERATURE, MAX_PENALTY, MAX_TOP_K = 10.0, 10.0, 100_000


def check(call: GenerateCall, limits: Limits) -> str:
    """Checks a call; returns the id of its base.

    Raises:
        InvalidArgument: it names the field.
    """
    base = parse_name(FIELD, "bases", call.base_model)
    _check_input(call, limits)
    _check_sampling(call.sampling)
    if call.max_tokens < 0:
        raise InvalidArgument("max_tokens", f"{call.max_tokens} is negative", reason="MAX_TOKENS")
    if len(call.stop) > MAX_STOPS:
        raise InvalidArgument("stop", f"{len(call.stop)} texts, at most {MAX_STOPS} are allowed", reason="STOP")
    for index, text in enumerate(call.stop):
        # White space is a stop text too: a line's end.
        if not text or len(text.encode()) > MAX_STOP_BYTES:
            problem = f"it must have 1 to {MAX_STOP_BYTES} bytes of UTF-8"
            raise InvalidArgument(f"stop[{index}]", problem, reason="STOP")
    return base


def _check_input(call: GenerateCall, limits: Limits) -> None:
    if call.prompt is not None:
        check_text("prompt", call.prompt, limits.text_bytes)
        return
    if call.messages is None:
        raise InvalidArgument("input", "set prompt or chat", reason="INPUT")
    if not 1 <= len(call.messages) <= MAX_MESSAGES:
        problem = f"{len(call.messages)} messages; there must be 1 to {MAX_MESSAGES}"
        raise InvalidArgument("chat.messages", problem, reason="MESSAGES")
    room = limits.text_bytes
    for index, message in enumerate(call.messages):
        field = f"chat.messages[{index}]"
        if not message.role:
            raise InvalidArgument(f"{field}.role", "it is not set", reason="ROLE")
        check_text(f"{field}.content", message.content, limits.text_bytes)
        room -= len(message.content.encode())
    if room < 0:
        problem = f"together they are over {limits.text_bytes} bytes of UTF-8"
        raise InvalidArgument("chat.messages", problem, reason="TEXT_TOO_LONG")


def _check_sampling(sampling: Sampling) -> None:
    values = {
        "temperature": (
            sampling.temperature,
            0 <= sampling.temperature <= MAX_TEMPERATURE,
            f"0 to {MAX_TEMPERATURE:g}",
        ),
        "top_p": (sampling.top_p, 0 < sampling.top_p <= 1, "over 0 and up to 1"),
        "top_k": (sampling.top_k, 0 <= sampling.top_k <= MAX_TOP_K, f"0 to {MAX_TOP_K}"),
        "repetition_penalty": (
            sampling.repetition_penalty,
            0 < sampling.repetition_penalty <= MAX_PENALTY,
            f"over 0 and up to {MAX_PENALTY:g}",
        ),
    }
    for name, (value, ok, allowed) in values.items():
        if not ok or not math.isfinite(value):
            raise InvalidArgument(f"sampling.{name}", f"{value:g} is not {allowed}", reason="SAMPLING")
