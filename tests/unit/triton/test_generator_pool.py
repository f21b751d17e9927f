"""Generations over several servers: in turns, and on another one only where nothing was given out."""

import itertools
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from symbiont.common.errors import ResourceExhausted, SymbiontError, Unavailable
from symbiont.engine.generation.settings import GeneratorSettings
from symbiont.engine.generation.types import Finish, Piece, Sampling
from symbiont.triton.addresses import Addresses
from symbiont.triton.generator_pool import TextPool, TokenPool
from symbiont.triton.generators import TextPiece
from symbiont.triton.placement import Spread
from symbiont.triton.servers import Watching

BASE = "a" * 64
BOTH = Addresses(("one:1", "two:1"))
# One that was left out stays so: the pauses are longer than any test.
SLOW = Watching(first_s=60, check_s=60)


class FakeGenerators:
    """Yields two pieces; or raises, after so many of them."""

    def __init__(self, made: Any) -> None:
        self._made = made
        self.fails: tuple[int, SymbiontError] | None = None
        self.asked: list[str] = []
        self.open_streams = 0
        self.closed = False

    async def check(self) -> None:
        if self.fails and self.fails[0] == 0:
            raise self.fails[1]

    async def close(self, grace_s: float = 5.0) -> None:
        self.closed = True

    async def generate(self, base_digest: str, *given: Any, **named: Any) -> AsyncGenerator[Any, None]:
        self.asked.append(base_digest)
        for number in itertools.count():
            if self.fails and self.fails[0] == number:
                raise self.fails[1]
            if number == 2:
                return
            yield self._made(number)


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> dict[str, FakeGenerators]:
    made: dict[str, FakeGenerators] = {}

    def connect(piece: Any) -> Any:
        return lambda address, *given: made.setdefault(address, FakeGenerators(piece))

    tokens = connect(lambda number: Piece([number], Finish.EOS if number else None))
    texts = connect(lambda number: TextPiece(str(number), 1, 1, Finish.EOS if number else None))
    monkeypatch.setattr("symbiont.triton.generator_pool.TokenGenerators", tokens)
    monkeypatch.setattr("symbiont.triton.generator_pool.TextGenerators", texts)
    return made


@asynccontextmanager
async def token_pool(spread: Spread) -> AsyncIterator[TokenPool]:
    pool = TokenPool(BOTH, GeneratorSettings(Path()), spread, SLOW)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()


async def generate(pool: TokenPool, heard: list[int] | None = None) -> list[int]:
    heard = [] if heard is None else heard
    pieces = pool.generate(BASE, np.zeros(3, np.int32), 2, Sampling(), timeout_s=60, request_id="test")
    async with aclosing(pieces):
        async for piece in pieces:
            heard += piece.ids
    return heard


async def test_servers_take_turns(servers: dict[str, FakeGenerators]) -> None:
    async with token_pool(Spread()) as pool:
        assert [await generate(pool) for _ in range(4)] == [[0, 1]] * 4
        assert [len(server.asked) for server in servers.values()] == [2, 2]
        servers["one:1"].open_streams = servers["two:1"].open_streams = 1
        assert pool.open_streams == 2
    assert all(server.closed for server in servers.values())


async def test_a_base_may_be_held_by_one(servers: dict[str, FakeGenerators]) -> None:
    async with token_pool(Spread(base_servers=1)) as pool:
        for _ in range(4):
            await generate(pool)
    assert sorted(len(server.asked) for server in servers.values()) == [0, 4]


async def test_what_refuses_is_left_out_and_the_next_one_generates(servers: dict[str, FakeGenerators]) -> None:
    async with token_pool(Spread()) as pool:
        servers["one:1"].fails = 0, Unavailable("Triton at one:1 refuses")
        assert [await generate(pool) for _ in range(4)] == [[0, 1]] * 4
        assert len(servers["one:1"].asked) <= 1
        servers["two:1"].fails = 0, Unavailable("Triton at two:1 refuses")
        with pytest.raises(Unavailable, match="two:1 refuses"):
            await generate(pool)
        with pytest.raises(Unavailable, match=r"no Triton generates.*one:1 refuses"):
            await generate(pool)


@pytest.mark.parametrize("fails", [(1, Unavailable("it died")), (0, ResourceExhausted("too many wait"))])
async def test_what_was_begun_or_is_full_is_not_asked_again(
    servers: dict[str, FakeGenerators], fails: tuple[int, SymbiontError]
) -> None:
    heard: list[int] = []
    async with token_pool(Spread()) as pool:
        for server in servers.values():
            server.fails = fails
        with pytest.raises(type(fails[1])):
            await generate(pool, heard)
    assert heard == [0] * fails[0]
    assert sum(len(server.asked) for server in servers.values()) == 1


async def test_text_passes_as_tokens_do(servers: dict[str, FakeGenerators]) -> None:
    pool = TextPool(BOTH, GeneratorSettings(Path()), {}, Spread(), SLOW)
    await pool.start()
    pieces = pool.generate(BASE, "b" * 64, "a prompt", 2, Sampling(), request_id="test")
    assert [piece.text async for piece in pieces] == ["0", "1"]
    await pool.close()
