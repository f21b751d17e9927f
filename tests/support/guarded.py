"""A service of the suite that believes what a call's metadata says of its caller: `python -m support.guarded training`.

What certificates and tokens would prove is said in `test-principal`, as `name|tenant|role,role`; who says nothing is
nobody.
"""

import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from support.service import ServiceProcess
from symbiont.common.errors import Unauthenticated
from symbiont.common.principal import Principal, Role
from symbiont.common.server import run_server

KEY = "test-principal"


def said(name: str, tenant: str, *roles: Role) -> tuple[tuple[str, str], ...]:
    """Returns the metadata of a caller."""
    return ((KEY, f"{name}|{tenant}|{','.join(roles)}"),)


class Believing:
    """Takes a caller for what it says."""

    def admit(self, method: str, context: Any) -> Principal:
        """See `Guard`."""
        for key, value in context.invocation_metadata() or ():
            if key == KEY:
                name, tenant, roles = str(value).split("|")
                return Principal(name, tenant, frozenset(Role(role) for role in roles.split(",") if role))
        raise Unauthenticated("nobody says who calls")


def guarded(name: str, folder: Path, **settings: object) -> ServiceProcess:
    """Returns a service that is not started yet."""
    process = ServiceProcess(name, folder, **settings)
    process.run([sys.executable, "-m", "support.guarded", name])
    process.see(Path(__file__).parents[1])
    return process


if __name__ == "__main__":
    module: Any = import_module(f"symbiont.{sys.argv.pop(1)}.__main__")
    module.run_server = partial(run_server, guard=Believing())
    module.main()
