"""The Triton servers that there are now, and which of them take work: asked again and again, in the background."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar

from symbiont.common.errors import DeadlineExceeded, SymbiontError, Unavailable
from symbiont.common.log import get_logger
from symbiont.triton.addresses import Addresses

# How long servers that are away are asked when there is nobody else, and how often: a connection to one that has just
# started is not tried again before gRPC's own pause is over.
_LOOK_S, _LOOK_AGAIN_S = 1.0, 0.1
# Checks in a row without a word until a server counts as hanging: a busy one may be late once.
_SILENT_CHECKS = 2


class Client(Protocol):
    """A connection to one server."""

    async def check(self) -> None:
        """Returns when Triton takes work; Unavailable when it does not, DeadlineExceeded when it says nothing."""
        ...

    async def close(self, grace_s: float = 5.0) -> None:
        """Gives calls that still run `grace_s` to end, then closes the connection."""
        ...


C = TypeVar("C", bound=Client)
T = TypeVar("T")


class State(Enum):
    """What is known of a server."""

    READY = "ready"
    # It answers, and is being made ready for rows: it gets some only where there is nobody else.
    ARRIVING = "arriving"
    AWAY = "away"


@dataclass(frozen=True)
class Watching:
    """How servers are looked after, all in seconds.

    Attributes:
        resolve_s: between two resolutions of a name.
        check_s: between two checks of a server that is ready.
        first_s, longest_s: between two checks of one that is away, the first pause and the longest; each is twice the
            one before.
        drain_s: for what still runs on a server that is not named any more.
    """

    resolve_s: float = 2.0
    check_s: float = 1.0
    first_s: float = 0.25
    longest_s: float = 5.0
    drain_s: float = 30.0


class Pauses:
    """Ever longer ones, up to the longest."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first = self._next = first_s
        self._longest = longest_s

    def next(self) -> float:
        """Returns how long to wait now, in seconds."""
        pause, self._next = self._next, min(2 * self._next, self._longest)
        return pause

    def reset(self) -> None:
        """Has the next one be the first again."""
        self._next = self._first


class Server(Generic[C]):
    """One server, its connection, and what is asked of it now."""

    def __init__(self, address: str, client: C) -> None:
        self.address = address
        self.client = client
        # Until the first check says otherwise it may be tried.
        self.state = State.ARRIVING
        self.problem = ""
        self.doubted = asyncio.Event()
        self.wanted = asyncio.Event()
        self._asked: set[asyncio.Future[Any]] = set()

    async def ask(self, question: Awaitable[T]) -> T:
        """Waits for an answer, for as long as the server does not hang.

        Raises:
            Unavailable: it hangs.
        """
        task = asyncio.ensure_future(question)
        self._asked.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if caller is not None and caller.cancelling():
                raise
            raise Unavailable(self.problem) from None
        finally:
            self._asked.discard(task)

    def abandon(self) -> None:
        """Ends the waiting for all that was asked of it."""
        for task in self._asked:
            task.cancel()


class Servers(Generic[C]):
    """All servers that are named now, each with a connection of its own."""

    def __init__(
        self,
        addresses: Addresses,
        connect: Callable[[str], C],
        prepare: Callable[[C], Awaitable[None]],
        changed: Callable[[], None],
        watching: Watching,
    ) -> None:
        """Makes it; nothing is asked before `start`.

        Args:
            prepare: makes a server that is back ready for rows, before it gets any; it may raise.
            changed: is told that other servers are ready than before.
        """
        self._addresses = addresses
        self._connect = connect
        self._prepare = prepare
        self._changed = changed
        self._watching = watching
        self._servers: dict[str, Server[C]] = {}
        self._following: dict[str, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._resolving: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Resolves the addresses once, as far as it can be done, and begins to look after the servers."""
        await self._resolve()
        self._resolving = asyncio.create_task(self._resolve_again())

    async def close(self, grace_s: float) -> None:
        """Ends what goes on, and gives calls that still run `grace_s`."""
        alone = (task for task in (self._resolving, self._looking) if task)
        tasks = [*self._following.values(), *self._leaving, *alone]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(server.client.close(grace_s) for server in self._servers.values()))

    @property
    def known(self) -> Collection[Server[C]]:
        """All servers that are named now."""
        return self._servers.values()

    @property
    def ready(self) -> Sequence[Server[C]]:
        """Those that take rows: that are ready or, where none is, that answer."""
        ready = [server for server in self.known if server.state is State.READY]
        return ready or [server for server in self.known if server.state is State.ARRIVING]

    def at(self, address: str) -> Server[C]:
        """Returns a server that is named."""
        return self._servers[address]

    def problems(self) -> str:
        """Returns what keeps each server from its work."""
        told = "; ".join(server.problem or f"Triton at {server.address} is not ready yet" for server in self.known)
        return told or f"{', '.join(self._addresses.listed)} names no Triton server"

    def fail(self, server: Server[C], problem: str) -> None:
        """Leaves a server out that refused what was asked, until it says that it is ready."""
        server.doubted.set()
        self._set(server, State.AWAY, problem)

    async def look(self) -> None:
        """Checks all servers that are away, whatever their pauses, for a second or until one answers.

        It is for when there is nobody else to ask.
        """
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        await asyncio.shield(self._looking)

    async def _look(self) -> None:
        async def look_at(server: Server[C]) -> None:
            with suppress(SymbiontError):
                await server.client.check()
                self._set(server, State.ARRIVING, "")
                server.wanted.set()

        ends = asyncio.get_running_loop().time() + _LOOK_S
        while True:
            await asyncio.gather(*(look_at(server) for server in self.known if server.state is State.AWAY))
            if self.ready or asyncio.get_running_loop().time() > ends:
                return
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def _resolve_again(self) -> None:
        while True:
            await asyncio.sleep(self._watching.resolve_s)
            await self._resolve()

    async def _resolve(self) -> None:
        try:
            named = set(await self._addresses.now())
        except Unavailable as exc:
            # A name service that is away says nothing of the servers.
            get_logger().warning("Triton servers are not resolved now", error=str(exc))
            return
        for address in sorted(named - self._servers.keys()):
            server = self._servers[address] = Server(address, self._connect(address))
            self._following[address] = asyncio.create_task(self._follow(server))
            get_logger().info("triton server named", server=address)
        for address in self._servers.keys() - named:
            self._leave(self._servers.pop(address))
        self._changed()

    def _leave(self, server: Server[C]) -> None:
        get_logger().info("triton server not named any more", server=server.address)
        self._following.pop(server.address).cancel()
        task = asyncio.create_task(server.client.close(self._watching.drain_s))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _follow(self, server: Server[C]) -> None:
        """Checks a server for as long as it is named."""
        pauses, silent = Pauses(self._watching.first_s, self._watching.longest_s), 0
        while True:
            server.doubted.clear()
            try:
                await server.client.check()
                if server.state is not State.READY:
                    await self._arrive(server)
                silent = 0
            except DeadlineExceeded as exc:
                silent += 1
                if silent >= _SILENT_CHECKS:
                    self._set(server, State.AWAY, str(exc))
                    server.abandon()
            except SymbiontError as exc:
                self._set(server, State.AWAY, str(exc))
            except (Exception, asyncio.CancelledError) as exc:
                # Whoever closes this cancels the task; gRPC may cancel a call whose connection went.
                if (task := asyncio.current_task()) and task.cancelling():
                    raise
                get_logger().exception("a check of a triton server failed", server=server.address)
                self._set(server, State.AWAY, str(exc))
            if server.state is State.READY and not await _within(server.doubted, self._watching.check_s):
                # Sound is one that was ready for a while, not one that says so and fails at once.
                pauses.reset()
            else:
                await _within(server.wanted, pauses.next())
                server.wanted.clear()

    async def _arrive(self, server: Server[C]) -> None:
        self._set(server, State.ARRIVING, "")
        await self._prepare(server.client)
        # What was asked of it meanwhile may have failed.
        if not server.doubted.is_set():
            self._set(server, State.READY, "")

    def _set(self, server: Server[C], state: State, problem: str) -> None:
        server.problem = problem
        if server.state is not state:
            server.state = state
            told = {"error": problem} if problem else {}
            get_logger().info(f"triton server {state.value}", server=server.address, **told)
            self._changed()


async def _within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
