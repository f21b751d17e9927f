"""The id that one caller's request keeps across every service that it passes."""

import re
import uuid
from collections.abc import Iterable
from contextvars import ContextVar

METADATA_KEY = "x-request-id"
_VALID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_current: ContextVar[str] = ContextVar("request_id", default="")


def current_request_id() -> str:
    """Returns the id of the request being served, or the empty string outside of one."""
    return _current.get()


def accept_request_id(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """Takes the caller's id, if it sent a well-formed one, else makes one; it becomes the current id."""
    sent = next((value for key, value in metadata if key == METADATA_KEY), "")
    identifier = sent if isinstance(sent, str) and _VALID.fullmatch(sent) else uuid.uuid4().hex
    _current.set(identifier)
    return identifier
