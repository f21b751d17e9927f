"""Writes with Symbiont's own engine: text to ids and back by the tokenization service, ids to ids by Triton."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Protocol

from symbiont.common.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from symbiont.common.request_id import current_request_id
from symbiont.engine.generation.types import Finish, Piece, Sampling
from symbiont.inference.deadline import Deadline
from symbiont.inference.generation.detokenizing import Detokenizer
from symbiont.inference.generation.ports import Tokenizer
from symbiont.inference.generation.stages import stage
from symbiont.inference.generation.types import Backend, GeneratorInfo, Prompt, Written
from symbiont.inference.tokens import Ids

DEFAULT_MAX_TOKENS = 256
# The last tokens of a prompt tell how the first new one is spelt.
CONTEXT_TOKENS = 8
# About the time in which one of those that run ends and another that waits gets its place.
RETRY_AFTER_S = 1.0


class TokenGenerators(Protocol):
    """Reaches the engine in Triton; `symbiont.triton.generators` says what it raises."""

    def generate(
        self, base_digest: str, ids: Ids, max_tokens: int, sampling: Sampling, *, timeout_s: float, request_id: str
    ) -> AsyncGenerator[Piece, None]:
        """Yields the tokens of a sequence; leaving early stops it."""
        ...


class IdWriter:
    """Implements `ports.Writer`."""

    backend = Backend.SYMBIONT

    def __init__(self, tokens: Tokenizer, generators: TokenGenerators) -> None:
        self._tokens = tokens
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
        base, causal = generator.base, generator.kind == "causal"
        async with stage("tokenize", seconds, deadline):
            ids = await self._encode(generator, prompt, deadline)
        count = _max_tokens(max_tokens, generator.max_length - (len(ids) if causal else 0), prompt)

        async def decode(rows: Sequence[Sequence[int]]) -> Sequence[str]:
            return await self._tokens.decode(base.tokenizer_digest, rows, deadline.remaining())

        text = Detokenizer(decode, ids[-CONTEXT_TOKENS:].tolist() if causal else ())
        pieces = self._generators.generate(
            base.digest, ids, count, sampling, timeout_s=deadline.remaining(), request_id=current_request_id()
        )
        async with aclosing(pieces):
            try:
                async for piece in pieces:
                    finished = piece.finish is not None
                    if piece.finish is Finish.EXPIRED:
                        deadline.expired("generate")
                    new = await text.add(piece.ids, last=finished)
                    yield Written(new, len(piece.ids), len(ids), piece.finish, piece.queued_s)
            except ResourceExhausted as exc:
                raise ResourceExhausted(str(exc), retry_after_s=RETRY_AFTER_S) from exc
            except (NotFound, InvalidArgument) as exc:
                if exc.field == "max_tokens":
                    raise
                # The caller's own input has passed its checks: what is stored does not fit.
                raise FailedPrecondition(f"{generator.name} cannot be generated with: {exc}") from exc

    async def _encode(self, generator: GeneratorInfo, prompt: Prompt, deadline: Deadline) -> Ids:
        digest = generator.base.tokenizer_digest
        try:
            return await self._tokens.encode(
                digest, prompt.text, special_tokens=not prompt.framed, timeout_s=deadline.remaining()
            )
        except InvalidArgument as exc:
            raise InvalidArgument(prompt.field, str(exc).partition(": ")[2] or str(exc), reason=exc.reason) from exc


def _max_tokens(asked: int, room: int, prompt: Prompt) -> int:
    if room < 1:
        raise InvalidArgument(prompt.field, f"it leaves no room for a token: it is {1 - room} tokens too long")
    if asked > room:
        raise InvalidArgument("max_tokens", f"{asked} is over the {room} tokens that the prompt leaves room for")
    return asked or min(DEFAULT_MAX_TOKENS, room)
