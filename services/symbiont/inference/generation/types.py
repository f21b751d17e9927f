"""What a generation speaks of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from symbiont.engine.generation.types import Finish, Kind, Sampling


class Backend(StrEnum):
    """What computes inside Triton."""

    SYMBIONT = "symbiont"
    VLLM = "vllm"


class Reason(StrEnum):
    """Why a generation ended."""

    STOP = "stop"
    LENGTH = "length"
    EOS = "eos"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Limits:
    """The largest prompt, in bytes of UTF-8."""

    text_bytes: int


@dataclass(frozen=True)
class Base:
    """A registered base model: its id, and the digests that pin its content."""

    id: str
    digest: str
    tokenizer_digest: str


@dataclass(frozen=True)
class GeneratorInfo:
    """A base that generates. `special_tokens` are those that its chat template may name: `bos_token` and the like."""

    base: Base
    kind: Kind
    max_length: int
    chat_template: str | None
    special_tokens: Mapping[str, str]

    @property
    def name(self) -> str:
        """`bases/{base}`."""
        return f"bases/{self.base.id}"


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Literal["", "system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class GenerateCall:
    """What a caller asks for: a prompt or messages. `max_tokens` 0 leaves the number to the service."""

    base_model: str
    prompt: str | None = None
    messages: Sequence[Message] | None = None
    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int = 0
    stop: Sequence[str] = ()


@dataclass(frozen=True)
class Prompt:
    """The text that a model goes on from, and the request field that it came by.

    `framed`: special tokens are in it already, where a chat template has put them.
    """

    text: str
    field: str
    framed: bool


@dataclass(frozen=True)
class Written:
    """New text of a backend: the tokens in it, and what is known of the whole so far."""

    text: str
    tokens: int
    prompt_tokens: int
    finish: Finish | None = None
    queued_s: float = 0.0


@dataclass(frozen=True)
class Started:
    """The model has begun."""

    generator: GeneratorInfo
    backend: Backend


@dataclass(frozen=True)
class Delta:
    """More text, and the tokens generated so far."""

    text: str
    output_tokens: int


@dataclass(frozen=True)
class Ended:
    """It is over. `seconds` by stage: resolve, tokenize, queue, first_token, total."""

    reason: Reason
    prompt_tokens: int
    output_tokens: int
    stop: str
    seconds: Mapping[str, float]

    @property
    def tokens_per_second(self) -> float:
        """Speed after the first token; 0 when there was no second one."""
        took = self.seconds["total"] - self.seconds.get("first_token", 0.0)
        return (self.output_tokens - 1) / took if self.output_tokens > 1 and took > 0 else 0.0


Event = Started | Delta | Ended
