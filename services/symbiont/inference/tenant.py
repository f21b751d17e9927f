"""Who a call is for, among those who share the hosts."""

import re
from collections.abc import Iterable

from symbiont.common.access.tenancy import own_tenant
from symbiont.common.errors import InvalidArgument

METADATA_KEY = "symbiont-tenant"
_VALID = re.compile(r"[A-Za-z0-9._:/-]{1,128}")


def tenant_of(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """Returns the tenant that a caller belongs to, else the one that it names in its metadata, or the empty string.

    Raises:
        InvalidArgument: the name is not 1 to 128 letters, digits, and `._:/-`.
        PermissionDenied: it is not the one that the caller belongs to.
    """
    for key, value in metadata:
        if key == METADATA_KEY:
            if not isinstance(value, str) or not _VALID.fullmatch(value):
                raise InvalidArgument(METADATA_KEY, "it must be 1 to 128 letters, digits, and any of ._:/-")
            return own_tenant(METADATA_KEY, value)
    return own_tenant(METADATA_KEY, "")
