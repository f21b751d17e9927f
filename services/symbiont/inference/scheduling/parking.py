"""Rows whose bundle is not in the host's memory, kept apart so that its loading holds up nobody else."""

from collections import OrderedDict
from collections.abc import Sequence

from symbiont.inference.scheduling.call import Entry, Piece


class Parking:
    """Entries by bundle. A bundle is loaded by a request of its own rows; until it comes back, more of them wait.

    Args:
        loads: bundles that are loaded at a time.
    """

    def __init__(self, loads: int) -> None:
        self._loads = loads
        self._parked: OrderedDict[str, dict[Entry, None]] = OrderedDict()
        self._bundle_of: dict[Entry, str] = {}
        self._loading: set[str] = set()
        # What waits here.
        self.tokens = self.rows = 0

    def add(self, bundle: str, entry: Entry) -> None:
        """Has rows of one bundle wait for it."""
        self._parked.setdefault(bundle, {})[entry] = None
        self._bundle_of[entry] = bundle
        self._count(len(entry), entry.tokens)

    def remove(self, entry: Entry) -> bool:
        """Takes rows out that nobody waits for any more; returns whether they were here."""
        bundle = self._bundle_of.pop(entry, None)
        if bundle is None:
            return False
        self._count(-len(entry), -entry.tokens)
        waiting = self._parked[bundle]
        del waiting[entry]
        if not waiting:
            del self._parked[bundle]
        return True

    def next(self) -> str | None:
        """Returns which bundle to load now, the one waited for longest; it then counts as being loaded."""
        if len(self._loading) >= self._loads:
            return None
        bundle = next((bundle for bundle in self._parked if bundle not in self._loading), None)
        if bundle is not None:
            self._loading.add(bundle)
        return bundle

    def take(self, bundle: str, rows: int, tokens: int) -> Sequence[Piece]:
        """Takes rows of a bundle out for a request; at least one."""
        pieces: list[Piece] = []
        for entry in list(self._parked.get(bundle, ())):
            piece = Piece(entry.call, entry.cut(rows, tokens, alone=not pieces))
            if not piece.indices:
                break
            pieces.append(piece)
            self._count(-len(piece.indices), -piece.tokens)
            if not entry:
                self.remove(entry)
            rows -= len(piece.indices)
            tokens -= piece.tokens
            if rows <= 0:
                break
        return pieces

    def loaded(self, bundle: str, done: bool) -> Sequence[Entry]:
        """Notes the end of a loading; returns what need not wait any more."""
        self._loading.discard(bundle)
        ready = list(self._parked.get(bundle, ())) if done else []
        for entry in ready:
            self.remove(entry)
        return ready

    def _count(self, rows: int, tokens: int) -> None:
        self.rows += rows
        self.tokens += tokens
