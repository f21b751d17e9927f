"""Tracking in a process of its own, to be killed: url, folder, trackers, owner, and `alone` or `beside` others."""

import asyncio
import signal
import sys
from pathlib import Path

from symbiont.common.background import running
from symbiont.common.log import configure_logging
from symbiont.training.store import Store
from symbiont.training.tracking import Options, make_trackers
from symbiont.training.tracking.follower import Telling
from symbiont.training.tracking.tracking import Tracking


async def run(url: str, folder: Path, words: str, owner: str, alone: bool) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    options = Options(folder, mlflow_tracking_uri=f"sqlite:///{folder}/mlflow.db")
    store = Store(url)
    telling = Telling(owner, alone, every=0.1, lease_seconds=2, retry_seconds=0.5)
    tracking = Tracking(store, make_trackers(words, options), telling, lambda name: print("failed", name, flush=True))
    async with running("tracking", lambda: tracking.run(stopping)):
        await stopping.wait()
        # As a service that drains.
        await asyncio.sleep(0.2)
    store.close()


if __name__ == "__main__":
    configure_logging("info", "json", "tracking")
    asyncio.run(run(sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5] == "alone"))
