"""How much memory a worker will have, and how much there is."""

from pathlib import Path

import psutil

from symbiont.training.planning.types import Estimate
from symbiont.training.types import Warning

# Peaks of one and the same job differ by so much, relative and in bytes: where buffers end up is up to the allocator,
# and a job does more steps than a trial.
SCATTER, SCATTER_BYTES = 0.08, 64 << 20
CONTAINER = Path("/sys/fs/cgroup")
GIB = 1 << 30


def estimate_memory(seen: float, more: float, beyond: float) -> Estimate:
    """Returns the peak of a worker, in bytes, with its interval.

    Args:
        seen: the peak of the probe, which has done all that the worker does once.
        more: what the worker holds besides: rows that the probe did not tokenize.
        beyond: by how much the largest batch was too large to be tried, extrapolated; it may be half, or half as much
            again.
    """
    value = seen + more + beyond
    reach = value * SCATTER + SCATTER_BYTES + beyond / 2
    return Estimate(value, max(value - reach, 0.0), value + reach)


def available_memory(container: Path = CONTAINER) -> float:
    """Returns the memory that a new process can have, in bytes: what is free, within this container's limit."""
    free = float(psutil.virtual_memory().available)
    try:
        limit, used = ((container / f"memory.{name}").read_text().strip() for name in ("max", "current"))
    except OSError:
        return free
    return min(free, max(float(limit) - float(used), 0.0)) if limit.isdigit() else free


def of_memory(needed: Estimate, available: float, ranks: int) -> Warning | None:
    """Warns where the workers may need more memory than there is."""
    high = needed.high * ranks
    if high <= available:
        return None
    each = f" for {ranks} ranks" if ranks > 1 else ""
    text = f"it may take {high / GIB:.1f} GiB of memory{each}, and {available / GIB:.1f} GiB are free: lower batch_size"
    return Warning("MEMORY_SHORT", f"{text} or max_tokens")
