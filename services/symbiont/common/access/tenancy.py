"""What a service must know of the tenant of a call itself: whom to count it for, and what to list."""

from symbiont.common.access.views import current_view
from symbiont.common.errors import PermissionDenied
from symbiont.common.principal import current_principal


def own_tenant(field: str, said: str) -> str:
    """Returns the tenant that a call is counted for: that of its caller, else what it says.

    Raises:
        PermissionDenied: it says another than its caller's.
    """
    tenant = current_principal().tenant
    if tenant and said not in ("", tenant):
        raise PermissionDenied(f"{field} names another tenant than the one that you belong to: leave it out")
    return tenant or said


def listed_owner() -> str | None:
    """Returns the tenant whose resources a list has, empty for the installation, None for those of all."""
    tenant = current_principal().tenant
    return None if not tenant and current_view().sees_all else tenant
