"""How a caller names resources, and how they are named inside.

Inside, what belongs to a tenant has the tenant's name before its id: the `models/mood` of `bank` is `models/bank~mood`.
Nothing there knows more of tenants than that these are two resources. What the installation itself owns has its plain
id, as everything has where there are no tenants.
"""

import re
from functools import lru_cache
from typing import Protocol

from typing_extensions import override

from symbiont.common.errors import InvalidArgument, PermissionDenied, Unauthenticated
from symbiont.common.principal import Principal, Role, current_principal
from symbiont.common.resources import MARK, OWNED

NAME, ID, TEXT = 1, 2, 3
# An id, or the name of a bundle: how the Open Inference Protocol names models.
OPEN = 4
_NAMED = re.compile(rf"\b({'|'.join(OWNED)})/([a-z0-9-]+){MARK}")
_TYPED = re.compile(rf"tenants/([a-z0-9-]+)/(({'|'.join(OWNED)})/)?(?=.)")


class View(Protocol):
    """The names of one kind of caller. `holds` says what a value is: NAME, ID, TEXT or OPEN."""

    # Whether the resources of all tenants are there for it.
    sees_all: bool

    def enter(self, holds: int, value: str) -> str:
        """Returns the name inside of what a caller says; InvalidArgument, without a field, for what it cannot say."""
        ...

    def leave(self, holds: int, value: str) -> str:
        """Returns what a caller is told of a name inside, or of a text with such names."""
        ...

    def sees(self, tenant: str) -> bool:
        """Whether what a tenant owns is there for this caller; the empty tenant is the installation."""
        ...


class Inside:
    """Of the parts of the suite, and of everybody where nobody is asked who they are."""

    sees_all = True

    def enter(self, holds: int, value: str) -> str:
        """See `View`."""
        return value

    def leave(self, holds: int, value: str) -> str:
        """See `View`."""
        return value

    def sees(self, tenant: str) -> bool:
        """See `View`."""
        return True


class OfTenant:
    """Of a tenant: what others own is not there."""

    sees_all = False

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant
        self._before = tenant + MARK
        self._told = re.compile(rf"(?<![a-z0-9-]){self._before}")

    def enter(self, holds: int, value: str) -> str:
        """See `View`."""
        if holds == ID or (holds == OPEN and not value.startswith("bundles/")):
            return self._before + value
        collection, _, rest = value.partition("/")
        return f"{collection}/{self._before}{rest}" if holds == NAME and rest and collection in OWNED else value

    def leave(self, holds: int, value: str) -> str:
        """See `View`."""
        return value.removeprefix(self._before) if holds in (ID, OPEN) else self._told.sub("", value)

    def sees(self, tenant: str) -> bool:
        """See `View`."""
        return tenant == self._tenant


class OfWorker(Inside):
    """Of what trains for a tenant: it names only what is that tenant's."""

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant

    @override
    def enter(self, holds: int, value: str) -> str:
        if holds == NAME and value.partition("/")[0] in OWNED and owner_of(value) != self._tenant:
            raise PermissionDenied("a worker speaks of its own job and of nothing else")
        return value


class OfInstallation:
    """Of those who belong to the installation and not to a tenant: there are only its own resources."""

    sees_all = False

    def enter(self, holds: int, value: str) -> str:
        """See `View`."""
        return value if holds == TEXT else _plain(value)

    def leave(self, holds: int, value: str) -> str:
        """See `View`."""
        return value

    def sees(self, tenant: str) -> bool:
        """See `View`."""
        return not tenant


class OfOperator(OfInstallation):
    """Of operators: all resources, those of a tenant as `tenants/{tenant}/models/{model}`."""

    sees_all = True

    @override
    def enter(self, holds: int, value: str) -> str:
        plain = super().enter(holds, value)
        return _TYPED.sub(rf"\2\1{MARK}", plain, count=1) if plain.startswith("tenants/") else plain

    @override
    def leave(self, holds: int, value: str) -> str:
        if holds in (ID, OPEN):
            tenant, mark, rest = value.rpartition(MARK)
            return f"tenants/{tenant}/{rest}" if mark else value
        return _NAMED.sub(r"tenants/\2/\1/", value)

    @override
    def sees(self, tenant: str) -> bool:
        return True


class OfOutsider(OfInstallation):
    """Of those who do not say who they are: no resource has a name for them."""

    @override
    def enter(self, holds: int, value: str) -> str:
        if value.partition("/")[0] in OWNED:
            raise Unauthenticated("say who you are: without it nothing is told of what is stored here")
        return value

    @override
    def sees(self, tenant: str) -> bool:
        return False


# Compiling its pattern takes longer than a call may.
_of_tenant = lru_cache(4096)(OfTenant)
INSIDE, _INSTALLATION, _OPERATOR, _OUTSIDER = Inside(), OfInstallation(), OfOperator(), OfOutsider()


def view_of(principal: Principal) -> View:
    """Returns how a principal names resources."""
    if Role.WORKER in principal.roles and principal.tenant:
        return OfWorker(principal.tenant)
    if principal.tenant:
        return _of_tenant(principal.tenant)
    if Role.SERVICE in principal.roles or Role.WORKER in principal.roles:
        return INSIDE
    if Role.OPERATOR in principal.roles:
        return _OPERATOR
    return _INSTALLATION if principal.roles else _OUTSIDER


def current_view() -> View:
    """Returns how whoever makes the call being served names resources."""
    return view_of(current_principal())


def sees(identifier: str) -> bool:
    """Whether a resource of that id, or name, is there for whoever makes the call being served."""
    return current_view().sees(owner_of(identifier))


def owner_of(identifier: str) -> str:
    """Returns the tenant that owns what has an id, or a name, inside; empty for the installation."""
    before, mark, _ = identifier.partition(MARK)
    return before.rpartition("/")[2] if mark else ""


def beside(identifier: str, new: str) -> str:
    """Returns the id of a new resource of whoever owns another one."""
    owner = owner_of(identifier)
    return owner + MARK + new if owner else new


def _plain(value: str) -> str:
    if MARK in value:
        raise InvalidArgument("", f"{value[:200]!r} has a {MARK!r}, which no name has: leave it out")
    return value
