"""The durable state of the training service: registry, queue, jobs with their events, checkpoints, plans."""

from symbiont.training.store.plans import Plans
from symbiont.training.store.queue import ActiveJob, Places

__all__ = ["ActiveJob", "Places", "Store"]


class Store(Plans):
    """All of it. Each of the classes that it is made of holds one part and has a file of its own."""

    def __init__(self, url: str, max_lost: int = 5) -> None:
        """`max_lost` attempts of a job in a row may end without a checkpoint."""
        super().__init__(url)
        self.max_lost = max_lost
