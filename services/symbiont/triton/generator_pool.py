"""The language models in several Tritons, used as those of one: each generation runs in one of them, in turns."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from itertools import count
from typing import Any, Generic, TypeVar

from symbiont.common.errors import Unavailable
from symbiont.engine.generation.settings import GeneratorSettings
from symbiont.engine.generation.types import Piece, Sampling
from symbiont.engine.row import Ids
from symbiont.triton.addresses import Addresses
from symbiont.triton.connection import TritonTls
from symbiont.triton.generators import TextGenerators, TextPiece, TokenGenerators
from symbiont.triton.placement import Spread, rendezvous
from symbiont.triton.servers import Servers, Watching

G = TypeVar("G", TokenGenerators, TextGenerators)
P = TypeVar("P")


class _Pool(Generic[G]):
    def __init__(self, addresses: Addresses, connect: Callable[[str], G], spread: Spread, watching: Watching) -> None:
        self._servers: Servers[G] = Servers(addresses, connect, _nothing, lambda: None, watching)
        self._spread = spread
        self._turn = count()

    async def start(self) -> None:
        """Begins to look after the servers."""
        await self._servers.start()

    async def close(self, grace_s: float = 5.0) -> None:
        """Gives generations that still run `grace_s` to end, then closes all connections."""
        await self._servers.close(grace_s)

    @property
    def open_streams(self) -> int:
        """Number of generations that run in all servers for this client."""
        return sum(server.client.open_streams for server in self._servers.known)

    async def _pieces(self, base: str, ask: Callable[[G], AsyncGenerator[P, None]]) -> AsyncGenerator[P, None]:
        """Yields what one server generates; where it fails before the first piece, what the next one does."""
        for last in (False, True):
            if not self._servers.ready:
                await self._servers.look()
            ready = {server.address: server for server in self._servers.ready}
            if not ready:
                raise Unavailable(f"no Triton generates: {self._servers.problems()}")
            holders = rendezvous(base, ready)[: self._spread.base_servers or None]
            server, begun = ready[holders[next(self._turn) % len(holders)]], False
            try:
                async with aclosing(ask(server.client)) as pieces:
                    async for piece in pieces:
                        begun = True
                        yield piece
                return
            except Unavailable as exc:
                self._servers.fail(server, str(exc))
                # What was given out cannot be taken back: the caller must ask again.
                if begun or last:
                    raise


class TokenPool(_Pool[TokenGenerators]):
    """Language models of Symbiont's own engine in several servers."""

    def __init__(
        self,
        addresses: Addresses,
        settings: GeneratorSettings,
        spread: Spread,
        watching: Watching,
        tls: TritonTls | None = None,
    ) -> None:
        super().__init__(addresses, lambda address: TokenGenerators(address, settings, tls), spread, watching)

    def generate(
        self, base_digest: str, ids: Ids, max_tokens: int, sampling: Sampling, *, timeout_s: float, request_id: str
    ) -> AsyncGenerator[Piece, None]:
        """See `TokenGenerators.generate`."""

        def ask(client: TokenGenerators) -> AsyncGenerator[Piece, None]:
            return client.generate(base_digest, ids, max_tokens, sampling, timeout_s=timeout_s, request_id=request_id)

        return self._pieces(base_digest, ask)


class TextPool(_Pool[TextGenerators]):
    """Language models of vLLM's backend in several servers."""

    def __init__(
        self,
        addresses: Addresses,
        settings: GeneratorSettings,
        engine_args: Mapping[str, Any],
        spread: Spread,
        watching: Watching,
        tls: TritonTls | None = None,
    ) -> None:
        super().__init__(
            addresses, lambda address: TextGenerators(address, settings, engine_args, tls), spread, watching
        )

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
        """See `TextGenerators.generate`."""

        def ask(client: TextGenerators) -> AsyncGenerator[TextPiece, None]:
            return client.generate(base_digest, tokenizer_digest, prompt, max_tokens, sampling, request_id=request_id)

        return self._pieces(base_digest, ask)


async def _nothing(client: TokenGenerators | TextGenerators) -> None:
    """A language model is loaded by whoever asks for it first."""
