"""A service of the suite that believes what a call's metadata says of its caller: `python -m support.guarded training`.

What certificates and tokens would prove is said in `test-principal`, as `name|tenant|role,role`; who says nothing is
nobody, or with SYMBIONT_TEST_TRUSTED a part of the suite: the services and workers of a test say nothing.
"""

import os
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from support.service import ServiceProcess
from symbiont.common.errors import Unauthenticated
from symbiont.common.principal import Principal, Role
from symbiont.common.server import run_server

KEY, TRUSTED = "test-principal", "SYMBIONT_TEST_TRUSTED"


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
        if TRUSTED in os.environ:
            return Principal("suite", "", frozenset({Role.SERVICE, Role.WORKER}))
        raise Unauthenticated("nobody says who calls")


class GuardedProcess(ServiceProcess):
    """A service as a process, of which each call's metadata says who calls."""

    def __init__(self, name: str, folder: Path, **settings: object) -> None:
        super().__init__(name, folder, **settings)
        self.run([sys.executable, "-m", "support.guarded", name])
        self.see(Path(__file__).parents[1])


if __name__ == "__main__":
    module: Any = import_module(f"symbiont.{sys.argv.pop(1)}.__main__")
    module.run_server = partial(run_server, guard=Believing())
    module.main()
