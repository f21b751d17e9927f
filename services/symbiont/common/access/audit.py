"""Who did what to which resource, and what came of it; never what a text said.

Of each RPC the table says what is written: of a change every call, of a read only where that is asked for, and of what
is called thousands of times a second how often whom it served. A call that is refused to its caller is always written,
but for those of callers who prove nothing: of these so many in a minute, the rest are counted, lest they fill the disk.
"""

import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from symbiont.common.access.chain import Chain
from symbiont.common.access.table import rows
from symbiont.common.principal import Principal, current_principal
from symbiont.common.request_id import current_request_id

DENIED = ("UNAUTHENTICATED", "PERMISSION_DENIED")
# So often, while there are calls, counts are written.
COUNT_SECONDS = 300.0
# Lines of a minute about callers who prove nothing; at 64 an hour of them is about 2 MB.
MOST_NAMELESS, MINUTE = 64, 60.0
# Of names in a line; a caller may send what it likes for one.
_LONGEST, _MOST = 200, 8


class Audit(Protocol):
    """Hears of calls as they end."""

    def hears(self, method: str) -> bool:
        """Whether what a call of this RPC is about is written."""
        ...

    def ended(self, method: str, about: Sequence[str], outcome: str) -> None:
        """Takes note of a call by the current principal.

        Args:
            method: full name of the RPC.
            about: names of resources, as they are inside.
            outcome: the name of its status code.
        """
        ...


class Unheard:
    """Writes nothing."""

    def hears(self, method: str) -> bool:
        """See `Audit`."""
        return False

    def ended(self, method: str, about: Sequence[str], outcome: str) -> None:
        """See `Audit`."""


UNHEARD = Unheard()


class AuditLog:
    """Writes calls to a chain of lines."""

    def __init__(self, chain: Chain, *, reads: bool = False) -> None:
        """`reads` says whether calls that only read are written, too."""
        self._chain = chain
        written = ("change", "read") if reads else ("change",)
        self._written = {method for method, row in rows().items() if row.heard in written}
        self._counts: Counter[tuple[str, str, str, str]] = Counter()
        self._counted_at = self._minute_at = time.monotonic()
        # Calls of this minute that were refused to nobody in particular.
        self._nameless = 0

    def hears(self, method: str) -> bool:
        """See `Audit`."""
        return method in self._written

    def ended(self, method: str, about: Sequence[str], outcome: str) -> None:
        """See `Audit`."""
        principal = current_principal()
        if (method in self._written or outcome in DENIED) and not self._is_flood(principal, outcome):
            self._add(
                {
                    "principal": principal.name,
                    "tenant": principal.tenant,
                    "method": method,
                    "resources": [name[:_LONGEST] for name in about[:_MOST]],
                    "outcome": outcome,
                    "request_id": current_request_id(),
                }
            )
        else:
            self._counts[principal.name, principal.tenant, method, outcome] += 1
        if time.monotonic() - self._counted_at >= COUNT_SECONDS:
            self._write_counts()

    def _is_flood(self, principal: Principal, outcome: str) -> bool:
        if principal.name or outcome not in DENIED:
            return False
        if time.monotonic() - self._minute_at >= MINUTE:
            self._minute_at, self._nameless = time.monotonic(), 0
        self._nameless += 1
        return self._nameless > MOST_NAMELESS

    def close(self) -> None:
        """Writes what was counted, and closes the chain."""
        self._write_counts()
        self._chain.close()

    def _write_counts(self) -> None:
        for (principal, tenant, method, outcome), count in sorted(self._counts.items()):
            about = {"principal": principal, "tenant": tenant, "method": method, "outcome": outcome}
            self._add({**about, "count": count})
        self._counts.clear()
        self._counted_at = time.monotonic()

    def _add(self, values: dict[str, object]) -> None:
        self._chain.add({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **values})


@contextmanager
def audited(root: Path | None, service: str, *, reads: bool) -> Iterator[Audit]:
    """Keeps the audit log of a service under a folder for as long as the block lasts; none where there is no folder."""
    if root is None:
        yield UNHEARD
        return
    log = AuditLog(Chain(root, f"{service}-{socket.gethostname()}"), reads=reads)
    try:
        yield log
    finally:
        log.close()
