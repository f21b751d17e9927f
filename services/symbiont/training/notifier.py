"""Wakes those who wait for news: one notifier for all watchers, so that none of them polls the database."""

import asyncio
from collections import defaultdict

from symbiont.training.store.database import ALIASES


class Notifier:
    """Topics are job ids, and the constants below. Lives on one event loop."""

    ALIASES = ALIASES
    QUEUE = "queue"

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def notify(self, topic: str) -> None:
        """Wakes everyone who waits for a topic."""
        for event in self._waiting.pop(topic, ()):
            event.set()

    def notify_all(self) -> None:
        """Wakes everyone, who may have missed something."""
        for topic in list(self._waiting):
            self.notify(topic)

    def subscribe(self, topic: str) -> asyncio.Event:
        """Returns an event that is set at the next notification. Subscribe, then read, then wait: no news is missed."""
        event = asyncio.Event()
        self._waiting[topic].add(event)
        return event

    def forget(self, topic: str, event: asyncio.Event) -> None:
        """Takes back a subscription that nobody will wait for."""
        self._waiting[topic].discard(event)
        if not self._waiting[topic]:
            del self._waiting[topic]


async def first_of(*events: asyncio.Event, within: float | None = None) -> None:
    """Returns when one of the events is set, or after `within` seconds."""
    tasks = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, timeout=within, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
