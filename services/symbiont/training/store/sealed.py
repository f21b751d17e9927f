"""Columns of JSON as ciphertext: they hold names of labels and columns, reasons and reports, which may be texts.

A value is encrypted for the tenant that owns what it stands in, whoever writes it: workers and the controller write for
all tenants. All other columns are ids, digests, numbers and times.
"""

import json
from collections import UserDict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from typing_extensions import override

from symbiont.common.encryption import Seals
from symbiont.common.encryption.seals import TEXT_MARK
from symbiont.common.errors import TenantShredded
from symbiont.common.principal import current_principal

_owner: ContextVar[str] = ContextVar("owner", default="")


@contextmanager
def sealed_for(tenant: str) -> Iterator[None]:
    """Encrypts what the block writes for a tenant; where that is empty, for the tenant of whoever makes the call."""
    token = _owner.set(tenant)
    try:
        yield
    finally:
        _owner.reset(token)


class Shredded(UserDict[str, Any]):
    """What is left of a value whose tenant's keys were destroyed: whoever looks into it gets the error."""

    def __init__(self, error: TenantShredded) -> None:
        super().__init__()
        self._error = error

    @override
    def __getitem__(self, key: str) -> Any:
        raise self._error

    @override
    def __iter__(self) -> Any:
        raise self._error

    @override
    def __len__(self) -> int:
        raise self._error


class SealedJson:
    """The two forms of a value. What earlier releases have written is plain, and is read as such."""

    def __init__(self, seals: Seals) -> None:
        self._seals = seals

    def dumps(self, value: Any) -> str:
        """Returns what stands in the column: JSON, or a JSON string with its ciphertext."""
        plain = json.dumps(value)
        if not self._seals.on or value is None:
            return plain
        return json.dumps(self._seals.seal(plain.encode(), _owner.get() or current_principal().tenant))

    def loads(self, stored: str | bytes) -> Any:
        """Returns the value; Shredded where nobody can read it any more."""
        value = json.loads(stored)
        if not isinstance(value, str) or not value.startswith(TEXT_MARK):
            return value
        try:
            return json.loads(self._seals.unseal(value))
        except TenantShredded as exc:
            return Shredded(exc)
