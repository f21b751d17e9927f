"""Lets a call on, or not: by who makes it, and the table."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from symbiont.common.access.table import rows
from symbiont.common.errors import PermissionDenied, Unauthenticated
from symbiont.common.principal import TENANT_KEY, Guard, Principal, Role, make_current
from symbiont.common.resources import check_id

LONGEST_TENANT = 40
# No tenant can give them to its own people, whatever its identity provider says of them.
_OF_INSTALLATION = frozenset({Role.OPERATOR, Role.SERVICE})
NOBODY = Principal(roles=frozenset())


class Unknown:
    """A guard that knows nobody: whoever calls may know what anybody may."""

    def admit(self, method: str, context: Any) -> Principal:
        """See `Guard`."""
        return NOBODY


class Access:
    """A guard that asks another one who calls, and the table whether they may."""

    def __init__(self, identify: Guard) -> None:
        self._identify = identify
        self._rows = rows()

    def admit(self, method: str, context: Any) -> Principal:
        """See `Guard`. A call that is refused to somebody who is known is refused in their name."""
        row = self._rows.get(method)
        try:
            principal = self._identify.admit(method, context)
        except Unauthenticated:
            if row and row.anybody and not _says_who(context):
                return NOBODY
            raise
        principal = _of_its_tenant(principal)
        make_current(principal)
        principal = _acting(principal, context.invocation_metadata() or ())
        if row is None or not (row.anybody or row.roles & principal.roles):
            make_current(principal)
            raise PermissionDenied(_refusal(method, principal, row.roles if row else frozenset()))
        return principal


def _says_who(context: Any) -> bool:
    return any(key == "authorization" for key, _ in context.invocation_metadata() or ())


def _of_its_tenant(principal: Principal) -> Principal:
    """Returns a principal without the roles that it cannot have."""
    roles = principal.roles
    if principal.tenant:
        if len(check_id("tenant", principal.tenant)) > LONGEST_TENANT:
            raise PermissionDenied(f"the tenant {principal.tenant!r} has over {LONGEST_TENANT} characters")
        roles -= _OF_INSTALLATION
        if roles != {Role.WORKER}:
            roles -= {Role.WORKER}
    return principal if roles == principal.roles else replace(principal, roles=roles)


def _acting(principal: Principal, metadata: Iterable[tuple[str, str | bytes]]) -> Principal:
    """Returns whom a principal acts for: operators say it, others have a tenant, and may only repeat it.

    Raises:
        PermissionDenied: it names another tenant than its own.
        InvalidArgument: it names none.
    """
    if Role.SERVICE in principal.roles:
        return principal
    said = next((value for key, value in metadata if key == TENANT_KEY), "")
    if not said or said == principal.tenant:
        return principal
    if Role.OPERATOR in principal.roles:
        return replace(principal, tenant=check_id(TENANT_KEY, str(said)))
    if not principal.tenant:
        return principal
    raise PermissionDenied(f"{TENANT_KEY} names another tenant than the one that you belong to: leave it out")


def _refusal(method: str, principal: Principal, roles: frozenset[Role]) -> str:
    has = ", ".join(sorted(principal.roles)) or "no role"
    may = ", ".join(sorted(roles)) or "nobody"
    return f"{method.rpartition('/')[2]} is for {may}, and {principal.name or 'the caller'} has {has}"
