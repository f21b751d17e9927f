"""The real worker, with points at which a fault may be planned; as a program, the fork server of such workers."""

from pathlib import Path
from typing import Any

from drill.faults import Point, after, before
from symbiont.common.artifacts import ArtifactStore
from symbiont.training.fork_server import __main__ as forking
from symbiont.training.worker import __main__ as worker
from symbiont.training.worker.clients import ControllerLink

written, half_written, full = (
    Point("worker-checkpoint-stored"),
    Point("worker-checkpoint-half"),
    Point("worker-disk-full"),
)
store, send, rename = ArtifactStore.put, ControllerLink.send, Path.rename


def put(self: ArtifactStore, kind: str, *args: Any, **kwargs: Any) -> str:
    """A checkpoint's files are there and its name is not; its name is there and the controller does not know."""
    if kind != "checkpoints":
        return store(self, kind, *args, **kwargs)
    full()

    def before_rename(path: Path, target: Any) -> Any:
        if "checkpoints" in str(target):
            half_written()
        return rename(path, target)

    Path.rename = before_rename  # type: ignore[method-assign, assignment]
    try:
        digest = store(self, kind, *args, **kwargs)
    finally:
        Path.rename = rename  # type: ignore[method-assign]
    written()
    return digest


ArtifactStore.put = put  # type: ignore[method-assign]
ControllerLink.send = after(Point("worker-report-spooled"), send)  # type: ignore[method-assign]
worker.last_word = before(Point("worker-last-word"), worker.last_word)

if __name__ == "__main__":
    # The points are there before the first fork, and each fork passes them for itself.
    forking.main()
