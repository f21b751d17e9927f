"""What is said where no Prometheus is, or something else."""

from typing import Any

import httpx
import pytest

from symbiont.cli import usage
from symbiont.common.errors import InvalidArgument, Unavailable


def ask(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    client = httpx.Client(base_url="http://example.org", transport=httpx.MockTransport(answer))
    monkeypatch.setattr(httpx, "Client", lambda **_: client)
    usage.usage("http://example.org", 30, usage.By.TENANT, None)


def test_nothing_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(Unavailable, match=r"example\.org.* does not answer .*--prometheus"):
        ask(monkeypatch, away)


def test_what_is_no_url_is_said() -> None:
    with pytest.raises(InvalidArgument, match=r"--prometheus: .* is no URL"):
        usage.usage("http://host:port", 30, usage.By.TENANT, None)


@pytest.mark.parametrize(
    "answer",
    [httpx.Response(404), httpx.Response(200, text="<html>"), httpx.Response(200, json={"data": {"result": [{}]}})],
)
def test_something_else_is_there(monkeypatch: pytest.MonkeyPatch, answer: httpx.Response) -> None:
    with pytest.raises(InvalidArgument, match=r"--prometheus: .* does not answer as Prometheus does"):
        ask(monkeypatch, lambda request: answer)
