"""Writes with Triton's vLLM backend: text in, text out; vLLM has a tokenizer of its own."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

from symbiont.common.errors import FailedPrecondition, NotFound
from symbiont.common.request_id import current_request_id
from symbiont.engine.generation.types import Sampling
from symbiont.inference.deadline import Deadline
from symbiont.inference.generation.by_ids import DEFAULT_MAX_TOKENS
from symbiont.inference.generation.types import Backend, GeneratorInfo, Prompt, Written
from symbiont.triton.generators import TextPiece


class TextGenerators(Protocol):
    """Reaches vLLM in Triton; `symbiont.triton.generators` says what it raises."""

    def generate(
        self,
        base_digest: str,
        tokenizer_digest: str,
        prompt: str,
        max_tokens: int,
        sampling: Sampling,
        *,
        request_id: str,
    ) -> AsyncGenerator[TextPiece, None]:
        """Yields text as it is made; leaving early stops it."""
        ...


class TextWriter:
    """Implements `ports.Writer`."""

    backend = Backend.VLLM

    def __init__(self, generators: TextGenerators) -> None:
        self._generators = generators

    async def write(
        self,
        generator: GeneratorInfo,
        prompt: Prompt,
        max_tokens: int,
        sampling: Sampling,
        deadline: Deadline,
        seconds: dict[str, float],
    ) -> AsyncGenerator[Written, None]:
        """See `ports.Writer`."""
        base, count = generator.base, max_tokens or min(DEFAULT_MAX_TOKENS, generator.max_length - 1)
        pieces = self._generators.generate(
            base.digest, base.tokenizer_digest, prompt.text, count, sampling, request_id=current_request_id()
        )
        async with aclosing(pieces):
            try:
                async for piece in pieces:
                    yield Written(piece.text, piece.tokens, piece.prompt_tokens, piece.finish)
            except NotFound as exc:
                raise FailedPrecondition(f"{generator.name} cannot be generated with: {exc}") from exc
