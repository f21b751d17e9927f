"""Channels whose certificates may change: new calls go over a new one, those that run end on the old one."""

import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar, cast
from weakref import WeakKeyDictionary, WeakSet

import grpc

from symbiont.common.security.files import Material, Renewed, Tls

C = TypeVar("C")
Token = Callable[[], str]
AUTHORIZATION = "authorization"
Options = Sequence[tuple[str, Any]]
SHAPES = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


class Renewing(Generic[C]):
    """Whatever is opened with certificates, opened again when they change. Safe to share between threads.

    The one before is not closed but let go: gRPC ends its connection with the last call on it. Whoever needs it until
    then holds it.
    """

    def __init__(self, source: Renewed, open_one: Callable[[Material], C]) -> None:
        self._source = source
        self._open = open_one
        self._lock = threading.Lock()
        self._material = source.now()
        self._opened = open_one(self._material)
        self._held = WeakSet([self._opened])

    def now(self) -> C:
        """Returns the one to use for a new call."""
        if self._source.now() is not self._material:
            self._renew()
        return self._opened

    def opened(self) -> list[C]:
        """Returns those that were opened and that somebody holds: what is to be closed in the end."""
        with self._lock:
            return list(self._held)

    def _renew(self) -> None:
        with self._lock:
            material = self._source.now()
            if material is not self._material:
                self._opened = self._open(material)
                self._held.add(self._opened)
                self._material = material


class RenewedChannel:
    """A channel of gRPC, plain or asyncio's, in what generated stubs and this suite use of one."""

    def __init__(self, channels: Renewing[Any], token: Token | None = None) -> None:
        """`token` returns what is sent with each call as who makes it."""
        self._channels = channels
        self._token = token
        # A call that runs holds its channel, so that it can be closed.
        self._running: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        for shape in SHAPES:
            setattr(self, shape, self._maker(shape))

    def _maker(self, shape: str) -> Callable[..., "_Method"]:
        return lambda *args, **kwargs: _Method(
            self._channels, lambda channel: getattr(channel, shape)(*args, **kwargs), self._token, self._running
        )

    def close(self, *grace: float | None) -> Any:
        """Closes the channel of now and those of calls that run; returns what to wait for, where asyncio waits."""
        waits = [channel.close(*grace) for channel in self._channels.opened()]
        return _all(waits) if any(waits) else None

    async def __aenter__(self) -> "RenewedChannel":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()


class _Method:
    """Calls of one method."""

    def __init__(
        self,
        channels: Renewing[Any],
        bind: Callable[[Any], Any],
        token: Token | None,
        running: WeakKeyDictionary[Any, Any],
    ) -> None:
        self._channels = channels
        self._bind = bind
        self._token = token
        self._running = running
        self._bound: tuple[Any, Any] = (None, None)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        channel, method = self._bound
        if (now := self._channels.now()) is not channel:
            method = self._bind(now)
            self._bound = (now, method)
        if self._token:
            kwargs["metadata"] = (*(kwargs.get("metadata") or ()), (AUTHORIZATION, f"Bearer {self._token()}"))
        made = method(*args, **kwargs)
        if isinstance(made, grpc.Call | grpc.aio.Call):
            self._running[made] = now
        return made


async def _all(waits: Sequence[Coroutine[Any, Any, Any]]) -> None:
    for wait in waits:
        await wait


def is_local_socket(address: str) -> bool:
    """Whether an address is a socket file, which only its owner may open: nothing travels that TLS would hide."""
    return address.startswith("unix:")


def plain_channel(
    address: str, options: Options, tls: Tls | Renewed | None, token: Token | None = None
) -> grpc.Channel:
    """Opens a channel for threads: with TLS where there are files for it, and not to a socket file."""
    if tls is None or is_local_socket(address):
        return grpc.insecure_channel(address, options)
    opened = _renewed(tls, lambda credentials: grpc.secure_channel(address, credentials, options), token)
    return cast(grpc.Channel, opened)


def aio_channel(
    address: str,
    options: Options,
    tls: Tls | Renewed | None,
    interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
    token: Token | None = None,
) -> grpc.aio.Channel:
    """Opens a channel for asyncio, as `plain_channel` does."""
    if tls is None or is_local_socket(address):
        return grpc.aio.insecure_channel(address, options, interceptors=interceptors)
    return cast(
        grpc.aio.Channel,
        _renewed(
            tls,
            lambda credentials: grpc.aio.secure_channel(address, credentials, options, interceptors=interceptors),
            token,
        ),
    )


def _renewed(
    tls: Tls | Renewed, open_one: Callable[[grpc.ChannelCredentials], Any], token: Token | None
) -> RenewedChannel:
    source = tls if isinstance(tls, Renewed) else Renewed(tls)
    return RenewedChannel(Renewing(source, lambda material: open_one(material.channel_credentials())), token)
