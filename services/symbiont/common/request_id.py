"""The id that one caller's request keeps across every service that it passes."""

import re
import secrets
from collections.abc import Iterable, MutableMapping
from contextvars import ContextVar
from itertools import count
from typing import Any

METADATA_KEY = "x-request-id"
_VALID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
# Ids made here: those of a process begin alike, and no other process's do. A random number for each takes longer.
_PROCESS, _numbers = secrets.token_hex(12), count()
_current: ContextVar[tuple[str, str]] = ContextVar("request", default=("", ""))


def current_request_id() -> str:
    """Returns the id of the request being served, or the empty string outside of one."""
    return _current.get()[0]


def accept_request_id(metadata: Iterable[tuple[str, str | bytes]], method: str = "") -> str:
    """Takes the caller's id, if it sent a well-formed one, else makes one; it becomes the current id.

    Args:
        metadata: what came with the request.
        method: full name of the RPC, for the log.
    """
    identifier = ""
    for key, value in metadata:
        if key == METADATA_KEY and isinstance(value, str) and _VALID.fullmatch(value):
            identifier = value
            break
    else:
        identifier = f"{_PROCESS}{next(_numbers):08x}"
    _current.set((identifier, method))
    return identifier


def add_request(logger: Any, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Adds the request being served to a log line: a processor of structlog."""
    identifier, method = _current.get()
    if identifier:
        event = {"request_id": identifier, "rpc": method, **event}
    return event
