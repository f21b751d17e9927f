"""What ModelInfer and ModelStreamInfer did since the process began, by model version."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from symbiont.common.lru import Lru
from symbiont.inference.types import ModelVersion

# Our stages under the protocol's names. What waits in Triton's queue is part of `compute_infer`: it is not told apart.
STAGES = {"tokenize": "compute_input", "infer": "compute_infer", "output": "compute_output"}


@dataclass
class Sum:
    """How often, and how long in all, in nanoseconds."""

    count: int = 0
    ns: int = 0

    def add(self, seconds: float) -> None:
        """Adds one time."""
        self.count += 1
        self.ns += round(seconds * 1e9)


@dataclass
class Record:
    """The sums of one model version, under the names of the protocol.

    `rows` counts texts and rows of ids; `sums` has `success`, `fail` and the stages of answered calls. A call that
    fails before its version is known is in no record.
    """

    model: str
    version: str
    rows: int = 0
    last_ms: int = 0
    sums: dict[str, Sum] = field(default_factory=dict)

    def add(self, name: str, seconds: float) -> None:
        """Adds one time to a sum."""
        self.sums.setdefault(name, Sum()).add(seconds)


class Statistics:
    """The records of at most `capacity` versions: those used last."""

    def __init__(self, capacity: int) -> None:
        self._records: Lru[tuple[str, str], Record] = Lru(capacity)

    def answered(self, version: ModelVersion, rows: int, total_s: float, stages: Mapping[str, float]) -> None:
        """Counts a call that was answered."""
        record = self._record(version)
        record.rows += rows
        record.last_ms = time.time_ns() // 1_000_000
        record.add("success", total_s)
        for stage, name in STAGES.items():
            if stage in stages:
                record.add(name, stages[stage])

    def failed(self, version: ModelVersion, total_s: float) -> None:
        """Counts a call that was not."""
        self._record(version).add("fail", total_s)

    def all(self) -> Sequence[Record]:
        """Returns every record, in the order of models and versions."""
        return sorted(self._records.values(), key=lambda record: (record.model, len(record.version), record.version))

    def _record(self, version: ModelVersion) -> Record:
        key = version.open_name
        record = self._records.get(key)
        if record is None:
            record = Record(*key)
            self._records.put(key, record)
        return record
