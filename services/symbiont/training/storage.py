"""How much of the artifact store each tenant takes up, and how much it may."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from symbiont.common.access.views import owner_of
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import IntegrityError, NotFound, ResourceExhausted, TenantShredded
from symbiont.training.notifier import first_of
from symbiont.training.store import Held, Store

MIB = 1 << 20
# Stands for each tenant that has no limit of its own.
OTHERS = "*"
REASON = "TENANT_STORAGE"


@dataclass(frozen=True)
class Room:
    """What a tenant has stored and may store.

    Args:
        limit: in bytes; None for any amount.
        used: bytes by kind of artifact.
    """

    limit: int | None = None
    used: Mapping[str, int] = field(default_factory=dict)

    def check(self, more: int = 1) -> None:
        """Sees to it that there is room for so many bytes more.

        Raises:
            ResourceExhausted: there is not; it says what takes it up.
        """
        total = sum(self.used.values())
        if self.limit is None or total + more <= self.limit:
            return
        parts = ", ".join(f"{kind} {size / MIB:.3g}" for kind, size in sorted(self.used.items()) if size)
        asked = f", and this needs {more / MIB:.3g} more" if more > 1 else ""
        raise ResourceExhausted(
            f"the tenant stores {total / MIB:.3g} of {self.limit / MIB:.3g} MiB ({parts or 'nothing'}){asked}: delete "
            "datasets, wait until the checkpoints of ended jobs are collected, or ask who runs the suite for more",
            reason=REASON,
        )


RoomOf = Callable[[str], Room]


def any_room(identifier: str) -> Room:
    """Returns room without end, whoever owns what has the id."""
    return Room()


class Storage:
    """Adds up the files of artifacts, as their manifests tell: before encryption, and without the manifests."""

    def __init__(self, store: Store, artifacts: ArtifactStore, limits: Mapping[str, float]) -> None:
        """`artifacts` asks for no signatures; `limits` are in MiB by tenant or `OTHERS`, 0 for none."""
        self._store = store
        self._artifacts = artifacts
        self._limits = limits
        # An artifact never changes. Exchanged as a whole: other threads read it meanwhile.
        self._sizes: dict[tuple[str, str], int] = {}

    def room(self, identifier: str) -> Room:
        """Returns the room of whoever owns a resource, by its id or name inside; blocks. See `RoomOf`."""
        owner = owner_of(identifier)
        mebibytes = self._limits.get(owner, self._limits.get(OTHERS, 0)) if owner else 0
        if not mebibytes:
            return Room()
        used: Counter[str] = Counter()
        for held in self._store.holdings(owner):
            used[held.kind] += self._size(held)
        return Room(int(mebibytes * MIB), used)

    def measure(self) -> dict[str, int]:
        """Returns the bytes of each tenant that has any, the installation's under the empty name; blocks."""
        holdings = self._store.holdings()
        used: Counter[str] = Counter()
        for held in holdings:
            used[held.owner] += self._size(held)
        known = {(held.kind, held.digest) for held in holdings}
        self._sizes = {key: size for key, size in self._sizes.items() if key in known}
        return dict(used)

    async def run(self, stopping: asyncio.Event, every: float, show: Callable[[Mapping[str, int]], None]) -> None:
        """Measures until the service stops, with so many seconds between."""
        while not stopping.is_set():
            show(await asyncio.to_thread(self.measure))
            await first_of(stopping, within=every)

    def _size(self, held: Held) -> int:
        key = held.kind, held.digest
        if key not in self._sizes:
            try:
                files = self._artifacts.manifest(held.kind, held.digest)["files"]
            except (NotFound, IntegrityError, TenantShredded):
                # Gone in this moment, or nothing that anybody can read: it is asked for again.
                return 0
            self._sizes[key] = sum(file["size"] for file in files.values())
        return self._sizes[key]
