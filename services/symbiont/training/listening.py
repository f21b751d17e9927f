"""What other controllers on the same PostgreSQL have changed, told to the notifier of this one."""

import asyncio

from sqlalchemy.engine import URL

from symbiont.training.notifier import Notifier
from symbiont.training.store.database import CHANNEL


async def listen(url: URL, notifier: Notifier) -> None:
    """Passes on every NOTIFY, until it is cancelled; the caller begins it again after an error."""
    # The driver is there where the store is open; a service on SQLite does without.
    import psycopg

    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    async with await psycopg.AsyncConnection.connect(plain, autocommit=True) as connection:
        await connection.execute(f"LISTEN {CHANNEL}")
        # What was told while nobody listened is lost: everyone looks for himself.
        notifier.notify_all()
        async for notice in connection.notifies():
            notifier.notify(notice.payload)
            if notice.payload != Notifier.ALIASES:
                notifier.notify(Notifier.QUEUE)
            await asyncio.sleep(0)
