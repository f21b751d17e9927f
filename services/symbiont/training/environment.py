"""On what a version was made: code, packages and machine, so that whoever makes it again knows what was different."""

import functools
import hashlib
import os
import platform
import re
from importlib.metadata import Distribution, distributions, version
from pathlib import Path

import psutil

import symbiont
from symbiont.bundle.part import Part

_FIELD = re.compile(r"^(Name|Version): *(.*?)\s*$", re.MULTILINE)


class Environment(Part):
    """Code, packages, machine.

    Attributes:
        code_version: of symbiont.
        code_digest: SHA-256 of its modules.
        packages: version of every installed package, by name.
        lock_digest: SHA-256 of the lines `name==version`, sorted.
        processor: as the system names it.
        cores: that there are.
        threads: that torch had.
        memory_bytes: of the machine.
    """

    code_version: str
    code_digest: str
    packages: dict[str, str]
    lock_digest: str
    python: str
    platform: str
    processor: str
    cores: int
    threads: int
    memory_bytes: int


def environment() -> Environment:
    """Returns that of this process."""
    packages = _packages()
    lock = "".join(f"{name}=={number}\n" for name, number in packages.items())
    cores = os.cpu_count() or 1
    return Environment(
        code_version=version("symbiont"),
        code_digest=_code_digest(),
        packages=packages,
        lock_digest=hashlib.sha256(lock.encode()).hexdigest(),
        python=platform.python_version(),
        platform=platform.platform(),
        processor=_processor(),
        cores=cores,
        threads=int(os.environ.get("OMP_NUM_THREADS") or cores),
        memory_bytes=psutil.virtual_memory().total,
    )


@functools.cache
def _packages() -> dict[str, str]:
    # Of a package that is there twice the first is imported; some bring others in folders of their own.
    found = map(_name_and_version, reversed([*distributions()]))
    return dict(sorted({name.lower().replace("_", "-"): number for name, number in found if name}.items()))


def _name_and_version(installed: Distribution) -> tuple[str, str]:
    """Returns what its metadata begin with; parsing them, as `name` and `version` do, takes ten times as long."""
    text = installed.read_text("METADATA") or installed.read_text("PKG-INFO") or ""
    fields = dict(_FIELD.findall(text.partition("\n\n")[0]))
    return fields.get("Name", ""), fields.get("Version", "")


@functools.cache
def _code_digest() -> str:
    digest = hashlib.sha256()
    for folder in map(Path, symbiont.__path__):
        for file in sorted(folder.rglob("*.py")):
            content = file.read_bytes()
            digest.update(f"{file.relative_to(folder).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _processor() -> str:
    """Returns the model of the CPU: on Linux, where `platform` does not know it, what the kernel says."""
    known = Path("/proc/cpuinfo")
    if known.is_file():
        lines = (line.partition(":") for line in known.read_text(encoding="utf-8", errors="replace").splitlines())
        return next((value.strip() for name, _, value in lines if name.strip() == "model name"), platform.machine())
    return platform.processor() or platform.machine()
