"""The asyncio client of the hosts in one Triton: loads a host when it is missing, packs rows, unpacks answers."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Coroutine, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
import numpy as np
import tritonclient.grpc.aio as triton  # type: ignore[import-untyped]
from tritonclient.utils import InferenceServerException, np_to_triton_dtype  # type: ignore[import-untyped]

from symbiont.common.errors import DeadlineExceeded, InvalidArgument, SymbiontError, Unavailable
from symbiont.common.tracing import outgoing_if_kept
from symbiont.engine import wire
from symbiont.engine.row import Floats, HostAnswer, Row
from symbiont.engine.settings import HostSettings
from symbiont.triton.connection import Connection, TritonTls
from symbiont.triton.host_model import host_config_json, host_files, host_name
from symbiont.triton.translate import HostNotLoaded, translate

_T = TypeVar("_T")

_LOAD_TIMEOUT_S = 300.0
# Nobody waits that long; it only keeps a call to a Triton that hangs from living for ever.
_ABANDONED_S = 600.0
_READY_TIMEOUT_S = 2.0


class HostClient:
    """Calls hosts by the digest of their base. One per process and event loop.

    A caller that gives up does not cancel its call: Triton finishes it, because cancelled requests have crashed it.
    """

    def __init__(self, url: str, settings: HostSettings, tls: TritonTls | None = None) -> None:
        """Connects lazily.

        Args:
            url: host:port of Triton's gRPC service.
            settings: for every host that this client loads; `base_digest` is set per host.
            tls: None for a plain connection.
        """
        self._url = url
        self._settings = settings
        self._connection = Connection(url, tls)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        # How often this client has loaded a host: tells a caller whether another one mended it meanwhile.
        self._loads: defaultdict[str, int] = defaultdict(int)
        self._running: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        """host:port of Triton's gRPC service."""
        return self._url

    @property
    def _client(self) -> triton.InferenceServerClient:
        return self._connection.client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self, grace_s: float = 5.0) -> None:
        """Gives calls that still run `grace_s` to end, then closes the connection."""
        if self._running:
            await asyncio.wait(self._running, timeout=grace_s)
        await self._connection.close()

    async def check(self) -> None:
        """Returns when Triton takes requests.

        Raises:
            Unavailable: it says that it does not, or it cannot be reached.
            DeadlineExceeded: it says nothing.
        """
        await check_server(self._client, self._url)

    async def ready(self) -> bool:
        """Whether Triton answers."""
        return await is_true(self._client.is_server_ready(client_timeout=_READY_TIMEOUT_S))

    async def host_ready(self, base_digest: str) -> bool:
        """Whether a host is loaded and its process lives."""
        name = host_name(base_digest)
        return await is_true(self._client.is_model_ready(name, client_timeout=_READY_TIMEOUT_S))

    async def ensure_host(self, base_digest: str) -> None:
        """Loads a host unless it is loaded; concurrent calls for one host load it once.

        Raises:
            Unavailable: Triton cannot be reached.
            FailedPrecondition: Triton cannot load it; the message says why.
        """
        await self._shielded(self._load(base_digest, seen=self._loads[base_digest], broken=False))

    async def unload(self, base_digest: str) -> None:
        """Has Triton forget a host; one that is not loaded is no error.

        Raises:
            Unavailable: Triton cannot be reached.
        """
        await self._call(self._client.unload_model(host_name(base_digest), client_timeout=_LOAD_TIMEOUT_S))

    async def settings_of(self, base_digest: str) -> HostSettings | None:
        """Returns what a host that is loaded was told; None where another version of this package loaded it.

        Raises:
            Unavailable: Triton cannot be reached.
        """
        call = self._client.get_model_config(host_name(base_digest), client_timeout=_READY_TIMEOUT_S)
        parameters = (await self._call(call)).config.parameters
        try:
            return HostSettings.from_parameters({name: value.string_value for name, value in parameters.items()})
        except InvalidArgument:
            return None

    async def infer(
        self, base_digest: str, rows: Sequence[Row], *, timeout_s: float = 30.0, request_id: str = ""
    ) -> list[Floats]:
        """Answers rows, all or none: raises the error of the first row that has one. See `infer_rows`."""
        answer = await self.infer_rows(base_digest, rows, timeout_s=timeout_s, request_id=request_id)
        values = []
        for row in answer.rows:
            if isinstance(row, SymbiontError):
                raise row
            values.append(row)
        return values

    async def infer_rows(
        self, base_digest: str, rows: Sequence[Row], *, timeout_s: float = 30.0, request_id: str = "", spare: int = 0
    ) -> HostAnswer:
        """Answers rows; a host that is not loaded is loaded first.

        Args:
            base_digest: which host.
            timeout_s: how long this caller waits.
            request_id: appears in Triton's log and traces.
            spare: lanes that the rows leave to others, if the host has more than these.

        Returns:
            per row: the values of its bundle's head; the pooled hidden state of the plain base; or the error that this
            row alone has: NotFound (its bundle is not in the artifact store), IntegrityError (the bundle is damaged or
            was made for another base), InvalidArgument (it does not fit the base), DeadlineExceeded (it expired).

        Raises:
            ResourceExhausted: too many requests wait.
            DeadlineExceeded: the answer was not there in time.
            Unavailable: Triton cannot be reached.
        """
        if not rows:
            return HostAnswer([], wire.NO_TIMES)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._shielded(self._infer(base_digest, rows, request_id, spare))
        except TimeoutError as exc:
            raise DeadlineExceeded(f"Triton at {self._url} did not answer within {timeout_s:g} s") from exc

    async def _infer(self, base_digest: str, rows: Sequence[Row], request_id: str, spare: int) -> HostAnswer:
        loads = self._loads[base_digest]
        try:
            return await self._infer_once(base_digest, rows, request_id, spare)
        except HostNotLoaded as exc:
            await self._load(base_digest, seen=loads, broken=exc.broken)
        return await self._infer_once(base_digest, rows, request_id, spare)

    async def _infer_once(self, base_digest: str, rows: Sequence[Row], request_id: str, spare: int) -> HostAnswer:
        inputs = [_input(name, tensor) for name, tensor in wire.pack_rows(rows).items()]
        result = await self._call(
            self._client.infer(
                host_name(base_digest),
                inputs,
                request_id=request_id,
                parameters={wire.SPARE: spare} if spare else None,
                # Triton keeps every trace that it is told of.
                headers=outgoing_if_kept(),
                # No deadline, for that would cancel it within Triton; the rows themselves say when they expire.
                client_timeout=_ABANDONED_S,
            )
        )
        return wire.unpack_answers({name: result.as_numpy(name) for name in wire.OUTPUTS})

    async def _load(self, base_digest: str, *, seen: int, broken: bool) -> None:
        """Loads a host unless it is ready, or was loaded since the caller saw `seen` loads of it.

        broken: its process died. Triton may still call it ready, so this is not asked.
        """
        async with self._locks[base_digest]:
            if self._loads[base_digest] != seen or (not broken and await self.host_ready(base_digest)):
                return
            name = host_name(base_digest)
            if broken:
                # Loading over it would only compare configurations, find them equal, and leave it dead.
                await self._call(self._client.unload_model(name, client_timeout=_LOAD_TIMEOUT_S))
            settings = replace(self._settings, base_digest=base_digest)
            await self._call(
                self._client.load_model(
                    name,
                    config=host_config_json(settings),
                    files=host_files(),
                    client_timeout=_LOAD_TIMEOUT_S,
                )
            )
            self._loads[base_digest] += 1

    def _call(self, call: Awaitable[_T]) -> Coroutine[Any, Any, _T]:
        return translated(call, self._url)

    async def _shielded(self, call: Coroutine[Any, Any, _T]) -> _T:
        task = asyncio.create_task(call)
        self._running.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        # Looked at here, or asyncio complains of an error whose caller gave up.
        if not task.cancelled():
            task.exception()


async def check_server(client: triton.InferenceServerClient, url: str) -> None:
    """See `HostClient.check`."""
    if not await translated(client.is_server_ready(client_timeout=_READY_TIMEOUT_S), url):
        raise Unavailable(f"Triton at {url} is not ready")


async def translated(call: Awaitable[_T], url: str) -> _T:
    """Returns what Triton answers; raises this project's errors."""
    try:
        return await call
    except InferenceServerException as exc:
        raise translate(exc, url) from exc
    except grpc.aio.UsageError as exc:
        raise Unavailable(f"the connection to Triton at {url} is closed") from exc


async def is_server_ready(url: str, tls: TritonTls | None = None) -> bool:
    """Whether a Triton answers at host:port; never raises."""
    connection = Connection(url, tls)
    try:
        return await is_true(connection.client.is_server_ready(client_timeout=_READY_TIMEOUT_S))
    finally:
        await connection.close()


async def is_true(call: Awaitable[Any]) -> bool:
    """Returns what a question to Triton is answered with; False when it cannot be asked."""
    try:
        return bool(await call)
    except (InferenceServerException, grpc.aio.UsageError):
        return False


def _input(name: str, values: np.ndarray[Any, Any]) -> Any:
    tensor = triton.InferInput(name, list(values.shape), np_to_triton_dtype(values.dtype))
    tensor.set_data_from_numpy(values)
    return tensor
