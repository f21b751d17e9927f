"""What a generation needs of the world around it. Every method may raise Unavailable or DeadlineExceeded."""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from symbiont.engine.generation.types import Sampling
from symbiont.inference.deadline import Deadline
from symbiont.inference.generation.types import Backend, Base, GeneratorInfo, Prompt, Written
from symbiont.inference.tokens import Ids


class BaseRegistry(Protocol):
    """Knows the base models."""

    async def base(self, identifier: str, timeout_s: float) -> Base:
        """Returns a base model; NotFound when there is none of that id."""
        ...


class Tokenizer(Protocol):
    """Turns text into ids and back."""

    async def encode(self, digest: str, text: str, *, special_tokens: bool, timeout_s: float) -> Ids:
        """Returns the ids of a text, with special tokens around it if asked; InvalidArgument when it is too long."""
        ...

    async def decode(self, digest: str, rows: Sequence[Sequence[int]], timeout_s: float) -> Sequence[str]:
        """Returns the text of each row, without special tokens."""
        ...


class Writer(Protocol):
    """One way to have Triton generate; the stop texts are not its concern."""

    @property
    def backend(self) -> Backend:
        """What computes."""
        ...

    def write(
        self,
        generator: GeneratorInfo,
        prompt: Prompt,
        max_tokens: int,
        sampling: Sampling,
        deadline: Deadline,
        seconds: dict[str, float],
    ) -> AsyncGenerator[Written, None]:
        """Yields text as it is made, the last piece with a finish; leaving early stops the work.

        Args:
            max_tokens: most tokens to generate; 0 leaves the number to the writer.
            seconds: takes the times of its stages.

        Raises:
            InvalidArgument: prompt and `max_tokens` do not fit the model.
            ResourceExhausted: too many sequences wait.
            FailedPrecondition, IntegrityError: the base cannot be loaded.
        """
        ...
