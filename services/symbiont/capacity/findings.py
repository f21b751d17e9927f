"""What a run found."""

from collections.abc import Sequence
from dataclasses import dataclass

from symbiont.capacity.bundles import Kind, Shapes
from symbiont.capacity.memory import Memory


@dataclass(frozen=True)
class Options:
    """What to find out.

    Attributes:
        kind: of the bundles.
        bundles: how many are written, loaded and asked in turn.
        tokens: in a row of the offered load.
        p99_s: what 99 of 100 requests must be answered within.
        reserve: share of the memory that is left alone.
        seconds: for each measurement.
    """

    kind: Kind
    bundles: int
    tokens: int
    p99_s: float
    reserve: float
    seconds: float


@dataclass(frozen=True)
class Throughput:
    """Rows of one length, in requests of so many, two requests in flight; rows a second."""

    rows: int
    tokens: int
    rows_per_s: float


@dataclass(frozen=True)
class Offered:
    """Requests of one row at a given rate; times in seconds."""

    offered: float
    answered: float
    p50: float
    p99: float
    failed: int

    def keeps(self, p99_s: float) -> bool:
        """Whether the host kept up with it, within the time that is wanted."""
        return self.p99 <= p99_s


@dataclass(frozen=True)
class Findings:
    """A run.

    Attributes:
        base, triton: which base, and which Triton had its host.
        computed: bytes of one bundle, from shapes.
        host_before, host_after: bytes of the host's process when it had `warm` bundles, and when it had all.
        reported: bytes of one bundle, as the host reports.
        memory: before the run.
        serving: whether a host of the base had been loaded before the run, so that the base needs no more room.
    """

    options: Options
    base: str
    shapes: Shapes
    triton: str
    cores: int
    computed: int
    warm: int
    host_before: int
    host_after: int
    reported: float
    load_s: float
    memory: Memory
    serving: bool
    throughput: Sequence[Throughput]
    offered: Sequence[Offered]

    @property
    def measured(self) -> float:
        """Bytes by which the host's process grew for each bundle."""
        return (self.host_after - self.host_before) / (self.options.bundles - self.warm)

    @property
    def per_bundle(self) -> float:
        """Bytes that a bundle is taken to need: the larger of those computed and measured."""
        return max(self.measured, self.computed)

    @property
    def host_bytes(self) -> int:
        """Bytes that a host needs before its first bundle; 0 where one was there already."""
        return 0 if self.serving else round(self.host_before - self.warm * self.per_bundle)

    @property
    def room(self) -> int:
        """Bytes for bundles."""
        return max(0, round(self.memory.available * (1 - self.options.reserve)) - self.host_bytes)

    @property
    def fit(self) -> int:
        """How many bundles that is."""
        return int(self.room // self.per_bundle)

    @property
    def best(self) -> Offered | None:
        """The largest load that the host kept within the time that is wanted."""
        kept = [load for load in self.offered if load.keeps(self.options.p99_s)]
        return max(kept, key=lambda load: load.offered, default=None)
