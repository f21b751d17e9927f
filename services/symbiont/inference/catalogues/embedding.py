"""Embeds the texts of entries on the way that every prediction takes, behind all that somebody waits for."""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from symbiont.common.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    IntegrityError,
    ResourceExhausted,
    SymbiontError,
    Unavailable,
)
from symbiont.inference.catalogues.types import Pin, Vectors
from symbiont.inference.deadline import Deadline
from symbiont.inference.instances import Instance, Text
from symbiont.inference.results import Embedding
from symbiont.inference.types import PredictCall, PredictResult, Priority

# As many batches at a time as let one be tokenized while another is computed.
_AT_ONCE = 2
_BATCH_BYTES = 4 << 20
_FIRST_DELAY, _LARGEST_DELAY = 0.1, 3.0


class Predicts(Protocol):
    """Answers calls: the predictor."""

    async def predict(self, call: PredictCall, deadline: Deadline) -> PredictResult:
        """Answers a call."""
        ...


@dataclass(frozen=True)
class EmbeddingLimits:
    """Most texts of a batch, longest that one may take, and how long a part that is away or full is waited for."""

    batch_texts: int
    timeout_s: float
    patience_s: float


class Embedder:
    """Texts to vectors, in bounded batches of the lowest priority."""

    def __init__(self, predictor: Predicts, limits: EmbeddingLimits, tenant: str = "") -> None:
        self._predictor = predictor
        self._limits = limits
        self._tenant = tenant
        self._turns = asyncio.Semaphore(_AT_ONCE)

    def for_tenant(self, tenant: str) -> "Embedder":
        """Returns one whose work is counted for a tenant; see Deadline."""
        return Embedder(self._predictor, self._limits, tenant)

    async def embed(self, pin: Pin, texts: Sequence[str]) -> tuple[Vectors, NDArray[np.bool_]]:
        """Returns the vectors of texts that have passed their checks, [n, d], and whether each was cut, [n].

        Raises:
            FailedPrecondition, IntegrityError: the bundle must not serve.
            Unavailable, ResourceExhausted, DeadlineExceeded: a part was away, or full, for too long.
        """
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._one(pin, batch)) for batch in self._batches(texts)]
        results = [task.result() for task in tasks]
        for result in results:
            if isinstance(result, SymbiontError):
                raise result
        predictions = [p for result in results if not isinstance(result, SymbiontError) for p in result.predictions]
        vectors = [p.result.values for p in predictions if isinstance(p.result, Embedding)]
        if len(vectors) != len(texts) or any(vector.shape != (pin.dimensions,) for vector in vectors):
            raise IntegrityError(f"the bundle gave no vectors of {pin.dimensions} numbers")
        made = np.stack(vectors) if vectors else np.empty((0, pin.dimensions), np.float32)
        return made, np.array([p.truncated for p in predictions], np.bool_)

    def _batches(self, texts: Sequence[str]) -> Iterator[list[str]]:
        batch: list[str] = []
        size = 0
        for text in texts:
            # A code point takes at most four bytes.
            if batch and (len(batch) == self._limits.batch_texts or size + 4 * len(text) > _BATCH_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(text)
            size += 4 * len(text)
        if batch:
            yield batch

    async def _one(self, pin: Pin, texts: Sequence[str]) -> PredictResult | SymbiontError:
        """Returns an expected failure instead of raising it, so that a group of batches ends with one error."""
        instances = [Instance(Text(text)) for text in texts]
        call = PredictCall(f"bundles/{pin.version.bundle_digest}", instances, priority=Priority.BATCH)
        # The bundle is asked for by its digest, which says nothing of whose it is.
        tenant = self._tenant or pin.version.model
        end, delay = time.monotonic() + self._limits.patience_s, _FIRST_DELAY
        async with self._turns:
            while True:
                try:
                    deadline = Deadline(self._limits.timeout_s, tenant, Priority.BATCH)
                    return await self._predictor.predict(call, deadline)
                except (Unavailable, ResourceExhausted, DeadlineExceeded) as exc:
                    pause = max(delay, getattr(exc, "retry_after_s", None) or 0.0) * random.uniform(1.0, 1.5)  # noqa: S311
                    if time.monotonic() + pause > end:
                        return exc
                except SymbiontError as exc:
                    return exc
                await asyncio.sleep(pause)
                delay = min(2 * delay, _LARGEST_DELAY)


def check_pin(pin: Pin, digest: str, name: str, field: str) -> None:
    """Refuses to compare a query that one bundle embedded with entries that another one did."""
    if pin.version.bundle_digest != digest:
        problem = (
            f"{name} was embedded by bundles/{pin.version.bundle_digest}, the model means bundles/{digest} now; ask "
            "with that bundle, or by SearchCatalogue, or import all entries again for the new one"
        )
        raise FailedPrecondition(problem, reason="SKEW", field=field)
