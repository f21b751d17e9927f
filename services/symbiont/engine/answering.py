"""Answers whole requests: soon where every bundle is resident, later from a thread that may wait for loading."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from symbiont.common.errors import SymbiontError
from symbiont.engine.engine import Engine
from symbiont.engine.row import Row, Times
from symbiont.engine.runtime import Array

_LOG = logging.getLogger(__name__)

# One result a row, or the one error of a request that could not be computed at all.
Answer = list[Array | SymbiontError] | SymbiontError


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """The rows of one request and where its answer goes; `reply` is called exactly once, from any thread.

    It leaves `spare` lanes to others, if there are more than these.
    """

    rows: Sequence[Row]
    reply: Callable[[Answer, Times], None]
    spare: int = 0
    received: float = field(default_factory=time.monotonic)

    @property
    def bundles(self) -> set[str]:
        """The digests that the rows name."""
        return {row.bundle for row in self.rows}

    @property
    def tokens(self) -> int:
        """Of all rows."""
        return sum(len(row.input_ids) for row in self.rows)


class Answering:
    """Keeps the loading of bundles away from requests that need none loaded."""

    def __init__(self, engine: Engine, answered: Callable[[], None] = lambda: None) -> None:
        """Starts it.

        Args:
            engine: what computes.
            answered: called after each batch, by whichever thread answered it.
        """
        self._engine = engine
        self._answered = answered
        self._waiting: deque[Job] = deque()
        self._wake = threading.Condition()
        self._closed = False
        # With one lane whoever submits computes: nobody would gain from a thread.
        self._lanes = ThreadPoolExecutor(engine.lanes, "answering") if engine.lanes > 1 else None
        self._thread = threading.Thread(target=self._answer_waiting, name="bundle-loader", daemon=True)
        self._thread.start()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Answers what needs no loading, in one batch, and leaves the rest to the loading thread.

        Returns before it is answered where the engine computes several batches beside each other.
        """
        ready = [job for job in jobs if self._engine.is_resident(job.bundles)]
        later = [job for job in jobs if job not in ready]
        if later:
            with self._wake:
                self._waiting.extend(later)
                self._wake.notify()
        if self._lanes is None:
            self._answer(ready)
        elif ready:
            self._lanes.submit(self._answer, ready)

    def close(self) -> None:
        """Answers what still waits, then ends the thread."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()
        if self._lanes is not None:
            self._lanes.shutdown()

    def _answer_waiting(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                first = self._waiting.popleft()
            # Loads what it lacks. Those that waited for the same bundles then go together, without waiting for others.
            self._answer([first])
            with self._wake:
                along = [job for job in self._waiting if self._engine.is_resident(job.bundles)]
                self._waiting = deque(job for job in self._waiting if job not in along)
            self._answer(along)

    def _answer(self, jobs: Sequence[Job]) -> None:
        if not jobs:
            return
        began = time.monotonic()
        try:
            rows = [row for job in jobs for row in job.rows]
            results = self._engine.infer(rows, max(job.spare for job in jobs))
        except Exception:  # noqa: BLE001 - whatever failed in the runtime, a caller who waits must hear of it
            _LOG.exception("a batch failed")
            for job in jobs:
                _reply(job, SymbiontError("the host failed to compute this batch; its log says why"), Times())
            return
        start, computed = 0, time.monotonic() - began
        per_token = computed / max(sum(job.tokens for job in jobs), 1)
        for job in jobs:
            own = results[start : start + len(job.rows)]
            start += len(job.rows)
            _reply(job, own, Times(began - job.received, computed, job.tokens * per_token))
        self._answered()


def _reply(job: Job, answer: Answer, times: Times) -> None:
    try:
        job.reply(answer, times)
    except Exception:  # noqa: BLE001 - an answer that cannot be sent must not take those of others with it
        _LOG.exception("an answer could not be sent")
