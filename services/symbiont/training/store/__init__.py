"""The durable state of training: registry, queue, jobs with their events, checkpoints, plans, what is tracked, what
was erased, and what is kept for whom."""

from symbiont.common.encryption import PLAIN, Seals
from symbiont.training.store.holdings import Held, Holdings
from symbiont.training.store.queue import ActiveJob, Places, ShreddedJob
from symbiont.training.store.tracked import News
from symbiont.training.store.watching import WatchedJob

__all__ = ["ActiveJob", "Held", "News", "Places", "ShreddedJob", "Store", "WatchedJob"]


class Store(Holdings):
    """All of it. Each of the classes that it is made of holds one part and has a file of its own."""

    def __init__(self, url: str, max_lost: int = 5, seals: Seals = PLAIN) -> None:
        """`max_lost` attempts of a job in a row may end without a checkpoint; `seals` encrypt what may hold texts."""
        super().__init__(url, seals)
        self.max_lost = max_lost
