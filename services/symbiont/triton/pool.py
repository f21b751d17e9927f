"""The hosts in several Tritons, used as those of one: rows go where their bundle is, and elsewhere if need be."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from symbiont.common.errors import DeadlineExceeded, FailedPrecondition, SymbiontError, Unavailable
from symbiont.engine import wire
from symbiont.engine.row import Floats, HostAnswer, Row
from symbiont.engine.settings import HostSettings
from symbiont.triton.addresses import Addresses
from symbiont.triton.client import HostClient
from symbiont.triton.placement import Placement, Spread
from symbiont.triton.servers import Server, Servers, State, Watching


@dataclass(frozen=True)
class _Asked:
    """What servers are told beside the rows; `ends` is on the clock of the event loop."""

    ends: float
    request_id: str
    spare: int


@dataclass(frozen=True)
class _Part:
    """Rows that one server was asked for, by their places among all, and what came of it."""

    indices: Sequence[int]
    outcome: HostAnswer | SymbiontError


class HostPool:
    """Calls hosts by the digest of their base, as `HostClient` does, in whichever server is theirs.

    A server that is back gets the hosts that were asked for before it gets rows.
    """

    def __init__(
        self,
        addresses: Addresses,
        settings: HostSettings,
        spread: Spread,
        watching: Watching,
        moved: Callable[[int], None] = lambda rows: None,
        connect: Callable[[str, HostSettings], HostClient] = HostClient,
    ) -> None:
        """Connects lazily.

        Args:
            settings: for every host that is loaded; `base_digest` is set per host.
            moved: is told how many rows another server answered than the one that was asked first.
            connect: makes the client of a server, from its address and `settings`.
        """
        self._spread = spread
        self._servers = Servers(
            addresses, lambda address: connect(address, settings), self._load_hosts, self._place, watching
        )
        self._placement: Placement | None = None
        self._bases: set[str] = set()
        self._moved = moved

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Begins to look after the servers."""
        await self._servers.start()

    async def close(self, grace_s: float = 5.0) -> None:
        """Gives calls that still run `grace_s` to end, then closes all connections."""
        await self._servers.close(grace_s)

    @property
    def known(self) -> int:
        """Number of servers that are named now."""
        return len(self._servers.known)

    @property
    def ready(self) -> int:
        """Number of servers that are ready and have the hosts that were asked for."""
        return sum(server.state is State.READY for server in self._servers.known)

    def sharing(self) -> int:
        """Returns over how many servers the bundles of a base are divided now: each has room for as many of its own."""
        holders = min(self.ready, self._spread.base_servers or self.ready)
        return max(1, holders // self._spread.bundle_servers)

    async def host_ready(self, base_digest: str) -> bool:
        """Whether any server that takes rows has a host loaded, and its process lives."""
        holders = self._holders(base_digest)
        return any(await asyncio.gather(*(server.client.host_ready(base_digest) for server in holders)))

    async def ensure_host(self, base_digest: str) -> None:
        """Loads a host in every server that is to hold it, unless it is loaded there.

        Raises:
            Unavailable: no server can be reached.
            FailedPrecondition: none can load it; the message says why.
        """
        self._bases.add(base_digest)
        holders = self._holders(base_digest)
        loading = (server.client.ensure_host(base_digest) for server in holders)
        outcomes = await asyncio.gather(*loading, return_exceptions=True)
        failed = [outcome for outcome in outcomes if outcome is not None]
        if len(failed) == len(outcomes):
            raise failed[0] if failed else Unavailable(self._servers.problems())

    async def infer_rows(
        self, base_digest: str, rows: Sequence[Row], *, timeout_s: float = 30.0, request_id: str = "", spare: int = 0
    ) -> HostAnswer:
        """Answers rows as `HostClient.infer_rows` does.

        Rows whose server fails are asked of the next ones, once. Where that fails too, or takes too long, and others
        were answered, these rows alone have the error.
        """
        if not rows:
            return HostAnswer([], wire.NO_TIMES)
        self._bases.add(base_digest)
        ends = asyncio.get_running_loop().time() + timeout_s
        return await self._answer(base_digest, rows, _Asked(ends, request_id, spare), again=True)

    async def _answer(self, base: str, rows: Sequence[Row], asked: _Asked, *, again: bool) -> HostAnswer:
        if self._placement is None:
            await self._servers.look()
        if self._placement is None:
            raise Unavailable(f"no Triton takes rows: {self._servers.problems()}")
        parts = self._placement.divide(base, rows)
        if len(parts) == 1:
            (address,) = parts
            return await self._ask(self._servers.at(address), base, rows, asked, again=again)
        asking = (
            self._part(self._servers.at(address), base, rows, indices, asked, again=again)
            for address, indices in parts.items()
        )
        return _merged(await asyncio.gather(*asking))

    async def _part(
        self,
        server: Server[HostClient],
        base: str,
        rows: Sequence[Row],
        indices: Sequence[int],
        asked: _Asked,
        *,
        again: bool,
    ) -> _Part:
        some = [rows[index] for index in indices]
        try:
            return _Part(indices, await self._ask(server, base, some, asked, again=again))
        except SymbiontError as exc:
            return _Part(indices, exc)

    async def _ask(
        self,
        server: Server[HostClient],
        base: str,
        rows: Sequence[Row],
        asked: _Asked,
        *,
        again: bool,
    ) -> HostAnswer:
        left = max(asked.ends - asyncio.get_running_loop().time(), 1e-3)
        try:
            return await server.ask(
                server.client.infer_rows(base, rows, timeout_s=left, request_id=asked.request_id, spare=asked.spare)
            )
        except (Unavailable, FailedPrecondition) as exc:
            # One that is about to end loads nothing; one that is sound and cannot load a host says so for all.
            if isinstance(exc, FailedPrecondition) and await _is_sound(server.client):
                raise
            self._servers.fail(server, str(exc))
            if not again:
                raise
        answer = await self._answer(base, rows, asked, again=False)
        self._moved(len(rows))
        return answer

    def _holders(self, base: str) -> Sequence[Server[HostClient]]:
        return [self._servers.at(address) for address in self._placement.holders(base)] if self._placement else []

    async def _load_hosts(self, client: HostClient) -> None:
        for base in list(self._bases):
            try:
                await client.ensure_host(base)
            except FailedPrecondition:
                # Whoever asks for it hears why; the others need not wait for it.
                continue

    def _place(self) -> None:
        ready = [server.address for server in self._servers.ready]
        self._placement = Placement(ready, self._spread) if ready else None


async def _is_sound(client: HostClient) -> bool:
    try:
        await client.check()
    except (Unavailable, DeadlineExceeded):
        return False
    return True


def _merged(parts: Sequence[_Part]) -> HostAnswer:
    """Joins what came of all parts; raises the error of the first where none was answered."""
    found: dict[int, Floats | SymbiontError] = {}
    times = []
    for part in parts:
        if isinstance(part.outcome, SymbiontError):
            found |= dict.fromkeys(part.indices, part.outcome)
        else:
            found |= zip(part.indices, part.outcome.rows, strict=True)
            times.append(part.outcome.times)
    if not times:
        raise next(part.outcome for part in parts if isinstance(part.outcome, SymbiontError))
    slowest, own = max(times, key=lambda part: part.in_host), sum(part.own for part in times)
    return HostAnswer([found[index] for index in range(len(found))], slowest._replace(own=own))
