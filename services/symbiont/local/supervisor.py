"""Keeps a few processes alive: starts them together, restarts what dies, stops them last to first."""

import threading
import time
from collections.abc import Callable, Sequence

from symbiont.common.log import get_logger
from symbiont.local.child import Child, ProcessSpec, State, Status


class NotReadyError(Exception):
    """Processes did not become ready in time; the text says which, and how they died if they did."""


class Supervisor:
    """Supervises processes until `stop`.

    Args:
        on_change: called with the new status of a process, one call at a time, from whichever thread saw it.
    """

    def __init__(self, specs: Sequence[ProcessSpec], on_change: Callable[[Status], None] = lambda status: None) -> None:
        self._on_change = on_change
        self._reporting = threading.Lock()
        self._children = {spec.name: Child(spec, self._report) for spec in specs}

    def start(self) -> None:
        """Starts every process; returns at once."""
        for child in self._children.values():
            child.start()

    def wait_ready(self, seconds: float) -> None:
        """Waits until every process is ready."""
        end = time.monotonic() + seconds
        while waiting := [s for s in self.snapshot() if s.state is not State.READY]:
            if time.monotonic() > end:
                parts = (f"{s.name} is {s.state}{f' ({s.last_exit})' if s.last_exit else ''}" for s in waiting)
                raise NotReadyError(f"not ready after {seconds:g} s: {', '.join(parts)}")
            time.sleep(0.05)

    def snapshot(self) -> list[Status]:
        """Returns the status of every process, in the order of the specs."""
        return [child.status for child in self._children.values()]

    def let_go(self) -> None:
        """From now on nothing is started again."""
        for child in self._children.values():
            child.let_go()

    def stop_one(self, name: str) -> None:
        """Stops one process and waits for it."""
        self._children[name].stop()

    def stop(self) -> None:
        """Stops every process, last to first."""
        self.let_go()
        for name in reversed(self._children):
            self.stop_one(name)

    def _report(self, status: Status) -> None:
        with self._reporting:
            try:
                self._on_change(status)
            except Exception:  # noqa: BLE001, a full disk under run.json must not end the watch over the processes
                get_logger().exception("a change of status could not be told", process=status.name)
