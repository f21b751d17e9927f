"""What the parts of a generator speak of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from symbiont.common.errors import SymbiontError
from symbiont.engine.row import Ids

Kind = Literal["causal", "seq2seq"]


class Finish(StrEnum):
    """Why a sequence ended."""

    EOS = "eos"
    LENGTH = "length"
    CANCELLED = "cancelled"
    # Its time was over, in the queue or later.
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a token is chosen; the defaults choose the likeliest. `top_k` 0 keeps all."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """New tokens of a sequence, why it ended if it did, and the seconds that it waited before its first step."""

    ids: Sequence[int]
    finish: Finish | None = None
    queued_s: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One sequence to generate.

    Attributes:
        name: unique among those that run; a stop names it.
        ids: the prompt, special tokens included.
        max_tokens: most tokens to generate.
        timeout_s: seconds from submission after which nobody waits for it.
        send: takes each piece, the last one with a finish, or one error instead; called from the generator's thread.
    """

    name: str
    ids: Ids
    max_tokens: int
    sampling: Sampling
    timeout_s: float
    send: Callable[[Piece | SymbiontError], None]


@dataclass(frozen=True, slots=True)
class GeneratorFacts:
    """What must be known of a language model; `max_length` in tokens is a causal one's for prompt and text together."""

    digest: str
    kind: Kind
    max_length: int
    vocab_size: int
    eos_ids: frozenset[int]
