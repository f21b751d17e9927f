"""A worker's stand-in for tests of executors: takes what a worker takes, and does what its spec, a plain JSON, says.

With `all_reduce` it first adds up its rank plus one over the ranks. `folder` gets a file of each rank, with its
process, its variables and that sum; then it says `say`, sleeps for `seconds` and ends with `status`: one number, or one
for each rank. On SIGTERM it notes that in `folder`, and ends unless `stubborn`.
"""

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

from symbiont.training.executors.packing import unpack_spec

SHOWN = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS", "MARKED")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--spec", required=True)
    parser.add_argument("--attempt", type=int, required=True)
    arguments = parser.parse_args()
    spec = json.loads(unpack_spec(os.environ[arguments.spec.removeprefix("env:")]))
    rank = int(os.environ.get("RANK", "0"))
    folder = Path(spec["folder"])

    def terminated(*_: object) -> None:
        (folder / f"terminated-{rank}").touch()
        if not spec.get("stubborn"):
            sys.exit(0)

    signal.signal(signal.SIGTERM, terminated)
    told = {"pid": os.getpid(), "attempt": arguments.attempt, "niceness": os.nice(0)}
    told |= {"variables": {name: os.environ[name] for name in SHOWN if name in os.environ}}
    if spec.get("all_reduce"):
        told["sum"] = all_reduce(rank + 1.0)
    temporary = folder / f".rank-{rank}"
    temporary.write_text(json.dumps(told))
    temporary.rename(folder / f"rank-{rank}.json")
    print(spec.get("say", "hello"), flush=True)
    time.sleep(of_rank(spec.get("seconds", 0), rank))
    sys.exit(of_rank(spec.get("status", 0), rank))


def of_rank(value: int | list[int], rank: int) -> int:
    """Returns what a rank's part of a value is."""
    return value[rank] if isinstance(value, list) else value


def all_reduce(value: float) -> float:
    """Adds up a value over the ranks, which meet as torch has them meet."""
    import torch
    from torch import distributed

    distributed.init_process_group("gloo")
    total = torch.tensor([value])
    distributed.all_reduce(total)
    distributed.destroy_process_group()
    return float(total)


if __name__ == "__main__":
    main()
