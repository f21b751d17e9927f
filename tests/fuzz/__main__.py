"""`python -m fuzz`: a million inputs by default, messages and files, and whether memory grows with them."""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

import psutil

from fuzz import calls, files

MIB = 1 << 20
# Of these, messages; the rest are files, which take longer.
SHARE_OF_CALLS = 0.8
PARTS = 10


def main() -> int:
    """Runs it; returns 1 if an input ended as none may, or memory grew to the end."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="how many (default: 1,000,000)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the same gives the same inputs")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="symbiont-fuzz-") as folder:
        bad = _calls(Path(folder) / "services", round(SHARE_OF_CALLS * given.inputs), given.seed)
        bad += _files(Path(folder) / "files", round((1 - SHARE_OF_CALLS) * given.inputs), given.seed)
    for line in bad[:50]:
        print(line)
    print(f"{len(bad)} of {given.inputs} inputs ended as none may")
    return 1 if bad else 0


def _calls(folder: Path, count: int, seed: int) -> list[str]:
    folder.mkdir()
    bad: list[str] = []
    with calls.services(folder) as running:
        started, before = time.monotonic(), running.memory()
        for part in range(PARTS):
            found = asyncio.run(calls.ask(running, count // PARTS, seed + part))
            bad += found.bad
            memory = {name: f"{size // MIB} MiB" for name, size in running.memory().items()}
            print(f"calls {part + 1}/{PARTS}: {dict(found.codes)} {memory}", flush=True)
            if part == 0:
                # Models, caches and pools are there by now.
                before = running.memory()
        grown = {name: size - before[name] for name, size in running.memory().items()}
        dead = set(running.processes) - set(running.alive())
        logged = running.surprises()
    bad += [f"{name} has died" for name in dead] + logged
    bad += [f"{name} grew by {size // MIB} MiB" for name, size in grown.items() if size > calls.MOST_GROWTH]
    print(f"{count} calls in {time.monotonic() - started:.0f} s", flush=True)
    return bad


def _files(folder: Path, count: int, seed: int) -> list[str]:
    targets, process, bad = files.make_targets(folder), psutil.Process(), list[str]()
    started, before = time.monotonic(), 0
    for part in range(PARTS):
        found = files.run(targets, count // PARTS, seed + part)
        bad += found.bad
        print(f"files {part + 1}/{PARTS}: {process.memory_info().rss // MIB} MiB", flush=True)
        before = before or process.memory_info().rss
    grown = process.memory_info().rss - before
    bad += [f"readers grew by {grown // MIB} MiB"] if grown > calls.MOST_GROWTH else []
    print(f"{count} files in {time.monotonic() - started:.0f} s", flush=True)
    return bad


if __name__ == "__main__":
    sys.exit(main())
