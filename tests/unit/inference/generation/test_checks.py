"""What is refused before any work, and by which name."""

import pytest

from symbiont.common.errors import InvalidArgument
from symbiont.engine.generation.types import Sampling
from symbiont.inference.generation.checks import check
from symbiont.inference.generation.types import GenerateCall, Limits, Message

LIMITS = Limits(100)
USER = Message("user", "hi")


def call(**changes: object) -> GenerateCall:
    return GenerateCall(**{"base_model": "bases/tiny", "prompt": "hi", **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "given",
    [
        call(),
        call(prompt=None, messages=[USER]),
        call(stop=["\n", "x" * 256], sampling=Sampling(10, 1, 100_000, 10, 2**32 - 1)),
    ],
)
def test_what_is_right_passes(given: GenerateCall) -> None:
    assert check(given, LIMITS) == "tiny"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"base_model": ""}, "base_model"),
        ({"base_model": "models/x"}, "base_model"),
        ({"base_model": "bases/X!"}, "base_model"),
        ({"prompt": None}, "input"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": " \n"}, "prompt"),
        ({"prompt": "你" * 34}, "prompt"),
        ({"prompt": None, "messages": []}, "chat.messages"),
        ({"prompt": None, "messages": [USER] * 1025}, "chat.messages"),
        ({"prompt": None, "messages": [Message("user", "x" * 60)] * 2}, "chat.messages"),
        ({"prompt": None, "messages": [USER, Message("", "x")]}, "chat.messages[1].role"),
        ({"prompt": None, "messages": [USER, Message("user", "")]}, "chat.messages[1].content"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"stop": ["x", ""]}, "stop[1]"),
        ({"stop": ["x" * 257]}, "stop[0]"),
        ({"sampling": Sampling(temperature=-0.1)}, "sampling.temperature"),
        ({"sampling": Sampling(temperature=10.1)}, "sampling.temperature"),
        ({"sampling": Sampling(temperature=float("nan"))}, "sampling.temperature"),
        ({"sampling": Sampling(top_p=-0.1)}, "sampling.top_p"),
        ({"sampling": Sampling(top_p=1.1)}, "sampling.top_p"),
        ({"sampling": Sampling(top_k=-1)}, "sampling.top_k"),
        ({"sampling": Sampling(top_k=100_001)}, "sampling.top_k"),
        ({"sampling": Sampling(repetition_penalty=-1)}, "sampling.repetition_penalty"),
        ({"sampling": Sampling(repetition_penalty=float("inf"))}, "sampling.repetition_penalty"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check(call(**changes), LIMITS)
    assert caught.value.field == field
