"""Who calls, and what a caller may be allowed to do."""

from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from symbiont.common.errors import InvalidArgument

METADATA_KEY = "symbiont-principal"
TENANT_KEY = "symbiont-tenant"
LONGEST = 128


class Role(StrEnum):
    """What a caller is to the suite. The first five are people and programs of a tenant."""

    VIEWER = "viewer"
    CALLER = "caller"
    TRAINER = "trainer"
    APPROVER = "approver"
    ADMIN = "admin"
    # Who runs the suite for all tenants.
    OPERATOR = "operator"
    # A part of the suite itself, and a worker of one attempt at a job.
    SERVICE = "service"
    WORKER = "worker"


@dataclass(frozen=True)
class Principal:
    """Who calls.

    Args:
        name: as the audit log and decisions name it; empty where nobody said.
        tenant: whose it is; empty for the installation itself.
        roles: what it may be; all of them where nobody is asked who they are.
    """

    name: str = ""
    tenant: str = ""
    roles: frozenset[Role] = frozenset(Role)


_UNASKED = Principal()
_current: ContextVar[Principal] = ContextVar("principal", default=_UNASKED)


def current_principal() -> Principal:
    """Returns who has made the call being served."""
    return _current.get()


class Guard(Protocol):
    """Decides of every call who makes it, and whether they may."""

    def admit(self, method: str, context: Any) -> Principal:
        """Returns who calls.

        Args:
            method: full name of the RPC.
            context: gRPC's.

        Raises:
            Unauthenticated: it does not show who it is, or what it shows is not valid.
            PermissionDenied: it may not call this.
        """
        ...


class Anybody:
    """Lets everybody do everything, by the name that they give."""

    def admit(self, method: str, context: Any) -> Principal:
        """See `Guard`. Raises InvalidArgument where the name is none."""
        return Principal(principal_of(context.invocation_metadata() or ()))


def make_current(principal: Principal) -> None:
    """Makes a principal the current one for the rest of the task that serves the call."""
    _current.set(principal)


def admit(guard: Guard, method: str, context: Any) -> None:
    """Makes whoever calls the current principal for the rest of the task that serves the call; errors as of `Guard`."""
    make_current(guard.admit(method, context))


def principal_of(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """Returns the name that metadata says.

    Raises:
        InvalidArgument: it is no name.
    """
    said = next((value for key, value in metadata if key == METADATA_KEY), "")
    return check_principal(METADATA_KEY, said if isinstance(said, str) else "")


def check_principal(field: str, name: str) -> str:
    """Returns a name of at most 128 printable ASCII characters, which is all that metadata can carry."""
    if len(name) > LONGEST or not (name.isascii() and name.isprintable()):
        raise InvalidArgument(field, f"a name has at most {LONGEST} printable ASCII characters")
    return name
