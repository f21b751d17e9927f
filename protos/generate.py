"""Generates `services/symbiont/api` from the protos; with `--check`, fails on any difference instead.

The protos say `symbiont.training.v1`; the Python lives in `symbiont.api.training.v1`, because `symbiont.training` is
the service itself. So the import lines between generated files, and nothing else, get the `api` put in
(services/adr/0002-generated-code.md).
"""

import argparse
import filecmp
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROTOS = Path(__file__).resolve().parent
API = PROTOS.parent / "services" / "symbiont" / "api"
STUBS = ("mypy", "mypy_grpc")
IMPORT = re.compile(r"^((?:from|import) )symbiont\.(access|tokenization|training|inference)\.v1\b", re.MULTILINE)
USE = re.compile(r"\bsymbiont\.(access|tokenization|training|inference)\.v1\.(\w+_pb2)\b")


def generate(target: Path) -> None:
    """Writes the generated package into a folder."""
    with tempfile.TemporaryDirectory() as temporary:
        sources = sorted(str(p.relative_to(PROTOS)) for p in PROTOS.rglob("*.proto"))
        command = [sys.executable, "-m", "grpc_tools.protoc", "-I."]
        command += [f"--{name}_out={temporary}" for name in ("python", "grpc_python")]
        command += [f"--{name}_out=quiet:{temporary}" for name in STUBS]
        # These plugins are console scripts of this environment, which need not be on PATH.
        plugins = [f"--plugin=protoc-gen-{name}={Path(sys.executable).parent / f'protoc-gen-{name}'}" for name in STUBS]
        subprocess.run([*command, *plugins, *sources], cwd=PROTOS, check=True)
        for file in sorted(Path(temporary, "symbiont").rglob("*.py*")):
            destination = target / file.relative_to(Path(temporary, "symbiont"))
            destination.parent.mkdir(parents=True, exist_ok=True)
            text = IMPORT.sub(r"\1symbiont.api.\2.v1", file.read_text())
            if file.suffix == ".pyi":
                text = USE.sub(r"symbiont.api.\1.v1.\2", text)
            destination.write_text(text)
    for folder in [target, *(p for p in target.rglob("*") if p.is_dir())]:
        (folder / "__init__.py").write_text('"""Generated from the protos; do not edit."""\n')


def differences(left: Path, right: Path) -> list[str]:
    """Returns the files that differ between two folders, or are in one only."""
    names = {p.relative_to(root) for root in (left, right) for p in root.rglob("*.py*") if "__pycache__" not in p.parts}
    return [
        str(n)
        for n in sorted(names)
        if not ((left / n).is_file() and (right / n).is_file() and filecmp.cmp(left / n, right / n, shallow=False))
    ]


def main() -> int:
    """Generates or checks; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 if the committed code is stale")
    if parser.parse_args().check:
        with tempfile.TemporaryDirectory() as temporary:
            generate(Path(temporary))
            stale = differences(Path(temporary), API)
        if stale:
            print("Stale generated code; run `make proto`:", *stale, sep="\n  ")
        return int(bool(stale))
    shutil.rmtree(API, ignore_errors=True)
    generate(API)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
