"""Both clients on the fake suite."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from symbiont import client as c
from symbiont.client.channels import Endpoints, Limits

QUICK = Limits(timeout=5, patience=1.0, watch_patience=5.0)


class Driver:
    """Calls the asyncio client as if it were the sync one."""

    def __init__(self, endpoints: Endpoints, limits: Limits) -> None:
        self._loop = asyncio.new_event_loop()
        self._client = self._loop.run_until_complete(self._make(endpoints, limits))

    async def _make(self, endpoints: Endpoints, limits: Limits) -> c.AsyncClient:
        return c.AsyncClient(endpoints, limits)

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            value = getattr(self._client, name)(*args, **kwargs)
            if isinstance(value, AsyncGenerator):
                return self._drain(value)
            return self._loop.run_until_complete(value)

        return call

    def _drain(self, items: AsyncGenerator[Any, None]) -> Iterator[Any]:
        try:
            while True:
                try:
                    yield self._loop.run_until_complete(anext(items))
                except StopAsyncIteration:
                    return
        finally:
            # Who leaves early has closed it: that it is collected comes to nothing while the loop stands still.
            self._loop.run_until_complete(items.aclose())

    def finish(self) -> None:
        self._loop.run_until_complete(self._client.close())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


@pytest.fixture(params=["sync", "asyncio"])
def make_client(request: Any, suite: Any) -> Iterator[Callable[..., Any]]:
    """Makes clients with other limits, or to other addresses."""
    with ExitStack() as stack:

        def make(limits: Limits = QUICK, endpoints: Endpoints | None = None) -> Any:
            endpoints = endpoints or Endpoints(suite.address, suite.address, suite.address)
            if request.param == "sync":
                return stack.enter_context(c.Client(endpoints, limits))
            driver = Driver(endpoints, limits)
            stack.callback(driver.finish)
            return driver

        yield make


@pytest.fixture
def client(make_client: Callable[..., Any]) -> Any:
    return make_client()
