"""The real training service, with points at which a fault may be planned."""

from typing import Any

from sqlalchemy import event

from drill.faults import Point, after, before
from symbiont.training import __main__ as training
from symbiont.training.executors.local import LocalExecutor
from symbiont.training.store.change import Change
from symbiont.training.store.database import Database

# The rows of a change and its events are written, and nothing is committed.
Change.flush = after(Point("controller-event-written"), Change.flush)  # type: ignore[method-assign]
LocalExecutor.launch = after(  # type: ignore[method-assign]
    Point("controller-launched"), before(Point("controller-intent-committed"), LocalExecutor.launch)
)
committed, opened = Point("controller-committed"), Database.__init__


def listen(self: Database, *args: Any, **kwargs: Any) -> None:
    """Everything is committed, and nobody has been told."""
    opened(self, *args, **kwargs)
    event.listen(self._engine, "commit", lambda connection: connection.info.setdefault("drill", True))
    event.listen(self._engine, "checkin", lambda connection, record: record.info.pop("drill", None) and committed())


Database.__init__ = listen  # type: ignore[method-assign]
training.main()
