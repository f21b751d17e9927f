"""`python -m support.tenant_service SERVICE`: callers say their tenant with their name, as in `acme/ana`."""

import runpy
import sys
from typing import Any

from symbiont.common.principal import Anybody, Principal, principal_of


def admit(self: Anybody, method: str, context: Any) -> Principal:
    """Returns who calls."""
    name = principal_of(context.invocation_metadata() or ())
    return Principal(name, name.partition("/")[0] if "/" in name else "")


if __name__ == "__main__":
    service = sys.argv.pop(1)
    # The guard that decides of tenants in earnest is not what is tested with this.
    Anybody.admit = admit  # type: ignore[method-assign]
    runpy.run_module(f"symbiont.{service}", run_name="__main__", alter_sys=True)
