"""Runs a service into which one can look: `python -P inspected.py NAME FILE`.

At SIGUSR1 it writes to the file, as JSON, how many objects of each class of Symbiont's and gRPC's live in it, and how
many tasks are not done. A script of its own, because Symbiont itself has no such door.
"""

import asyncio
import gc
import json
import runpy
import signal
import sys
from collections import Counter
from pathlib import Path

WATCHED = ("symbiont.", "grpc.")
TASKS = "asyncio.Task"


def living() -> Counter[str]:
    """Returns how many objects of each class live."""
    gc.collect()
    found: Counter[str] = Counter()
    for thing in gc.get_objects():
        kind = type(thing)
        # A proxy may say that it is of another class, or fail when it is asked.
        if issubclass(kind, asyncio.Task):
            found[TASKS] += not thing.done()
        elif str(kind.__module__).startswith(WATCHED):
            found[f"{kind.__module__}.{kind.__qualname__}"] += 1
    return found


def main(name: str, file: Path) -> None:
    """Runs `python -m symbiont.NAME`."""

    def tell(*_: object) -> None:
        # Renamed, so that nobody reads half of it.
        unfinished = file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(living()))
        unfinished.rename(file)

    signal.signal(signal.SIGUSR1, tell)
    runpy.run_module(f"symbiont.{name}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    sys.argv, (service, out) = sys.argv[:1], sys.argv[1:]
    main(service, Path(out))
