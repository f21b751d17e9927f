"""Who may write a catalogue at a moment, and in which thread: writers wait here, and keep nobody else waiting."""

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakValueDictionary

from symbiont.inference.catalogues.change import Change, SizeLimits, commit
from symbiont.inference.catalogues.types import CatalogueVersion
from symbiont.inference.catalogues.versions import Versions

# Catalogues that are written at a time.
_AT_ONCE = 4


class Writers:
    """Commits changes, of each catalogue one after the other: two at a time would do their work in vain.

    The threads are its own. A commit takes minutes, and in those of the process searches would wait for it.
    """

    def __init__(self, versions: Versions, limits: SizeLimits) -> None:
        self._versions = versions
        self._limits = limits
        self._threads = ThreadPoolExecutor(_AT_ONCE, "catalogue-writer")
        # By catalogue, for as long as somebody writes it or waits to.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def commit(self, catalogue: str, change: Change) -> tuple[CatalogueVersion, int]:
        """Makes a change the current version when it is its turn; see `change.commit`.

        A caller that goes away before has nothing written; one that goes away later does not stop the writing.
        """
        turn = self._turns.setdefault(catalogue, asyncio.Lock())
        await turn.acquire()
        # The thread encrypts for whoever calls, as one of asyncio.to_thread does.
        run = contextvars.copy_context().run
        work = asyncio.get_running_loop().run_in_executor(
            self._threads, run, commit, self._versions, catalogue, change, self._limits
        )
        # Not when the caller is told, who may be gone: when the thread is done.
        work.add_done_callback(lambda _: turn.release())
        return await asyncio.shield(work)
