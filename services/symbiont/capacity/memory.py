"""How much memory this machine has left for a host: of the machine, and of the control group that bounds it."""

from dataclasses import dataclass
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
# (limit, use) of cgroup v2, then of v1.
_FILES = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))


@dataclass(frozen=True)
class Memory:
    """Bytes.

    Attributes:
        machine: what the kernel can give without swapping.
        limit, used: of the control group; None where nothing is bounded.
    """

    machine: int
    limit: int | None = None
    used: int | None = None

    @property
    def available(self) -> int:
        """The smaller of what the machine and the group have left."""
        if self.limit is None or self.used is None:
            return self.machine
        return max(0, min(self.machine, self.limit - self.used))


def read_memory(cgroup: Path = CGROUP) -> Memory:
    """Returns what there is now."""
    machine = psutil.virtual_memory()
    for limit_file, used_file in _FILES:
        try:
            limit, used = (cgroup / limit_file).read_text().strip(), (cgroup / used_file).read_text().strip()
        except OSError:
            continue
        # Without a limit v2 says `max`, v1 a number larger than any machine.
        if limit.isdigit() and int(limit) < machine.total:
            return Memory(machine.available, int(limit), int(used))
    return Memory(machine.available)
