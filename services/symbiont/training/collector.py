"""Collects checkpoints of no more use, on a schedule: latest, best and what was promoted are kept."""

import asyncio
from datetime import timedelta

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.log import get_logger
from symbiont.training.metrics import TrainingMetrics
from symbiont.training.notifier import first_of
from symbiont.training.store import Store
from symbiont.training.types import now

KIND = "checkpoints"


class Collector:
    """Removes a checkpoint from the record first and from the store second: what is on record is there."""

    def __init__(
        self, store: Store, artifacts: ArtifactStore, metrics: TrainingMetrics, *, every: float, retention: float
    ) -> None:
        """Times in seconds: between two collections, and for which those of an ended job are kept."""
        self._store = store
        self._artifacts = artifacts
        self._metrics = metrics
        self._every = every
        self._retention = timedelta(seconds=retention)

    async def run(self, stopping: asyncio.Event) -> None:
        """Collects until the service stops."""
        while not stopping.is_set():
            await asyncio.to_thread(self.collect)
            await first_of(stopping, within=self._every)

    def collect(self) -> int:
        """Removes what nobody will need; returns how many checkpoints."""
        removed = 0
        for job, step, digest in self._store.useless_checkpoints(now() - self._retention):
            if self._store.forget_checkpoint(job, step, digest):
                self._artifacts.delete(KIND, digest)
                removed += 1
        if removed:
            get_logger().info("checkpoints collected", count=removed)
            self._metrics.checkpoints_collected.inc(removed)
        return removed
