"""The rows that wait for one host, in the order in which they are to be served."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count
from math import ceil
from operator import itemgetter

from symbiont.inference.scheduling.call import Entry, Piece, Turn
from symbiont.inference.scheduling.shares import FairShares
from symbiont.inference.types import Priority

# Deadlines are told apart to a quarter of a second where tokens ahead are counted.
_SLOTS_PER_SECOND = 4
_FAR = 1e12
_MARGIN = 1.25
# Where more tenants wait than these, no one floods: a host is simply full.
_FEW = 16


def class_weights(batch_share: float) -> Mapping[Priority, float]:
    """Returns the weights of the priorities, of which BATCH gets so much while others wait."""
    return {Priority.INTERACTIVE: 1 - batch_share, Priority.BATCH: batch_share}


@dataclass(frozen=True)
class Weights:
    """Shares of the work: while two wait, what each gets is in proportion to its weight.

    Attributes:
        tenants: by name; those that are not named have 1.
        classes: of the priorities.
    """

    tenants: Mapping[str, float] = field(default_factory=dict)
    classes: Mapping[Priority, float] = field(default_factory=lambda: class_weights(1 / 16))

    def of(self, tenant: str) -> float:
        """Returns a tenant's weight."""
        return self.tenants.get(tenant, 1.0)


class _Tenant:
    """What one tenant waits for, the earliest deadline first."""

    def __init__(self) -> None:
        self.tokens = 0
        self._heap: list[tuple[float, int, Entry]] = []
        self._entries: set[Entry] = set()
        self._by_slot: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, number: int, entry: Entry) -> None:
        heappush(self._heap, (entry.call.turn.expires, number, entry))
        self._entries.add(entry)
        self.count(entry, entry.tokens)

    def first(self) -> Entry:
        while self._heap[0][2] not in self._entries:
            heappop(self._heap)
        return self._heap[0][2]

    def remove(self, entry: Entry) -> None:
        self._entries.remove(entry)
        self.count(entry, -entry.tokens)
        # What was withdrawn stays in the heap until it is its turn; it must not outnumber the rest.
        if len(self._heap) > 2 * len(self._entries) + 8:
            self._heap = [item for item in self._heap if item[2] in self._entries]
            heapify(self._heap)

    def count(self, entry: Entry, tokens: int) -> None:
        self.tokens += tokens
        slot = _slot(entry.call.turn.expires)
        self._by_slot[slot] = left = self._by_slot.get(slot, 0) + tokens
        if not left:
            del self._by_slot[slot]

    def until(self, expires: float) -> int:
        """Returns the tokens that are served before those of a call that expires then."""
        last = _slot(expires)
        return sum(tokens for slot, tokens in self._by_slot.items() if slot <= last)


class _Class:
    """What waits with one priority."""

    def __init__(self) -> None:
        self.shares: FairShares[str] = FairShares()
        self.tenants: dict[str, _Tenant] = {}
        self.tokens = self.rows = 0


@dataclass(frozen=True)
class Taken:
    """Rows for a request, and entries that were dropped because their time is over."""

    pieces: Sequence[Piece]
    expired: Sequence[Entry]


class FairQueue:
    """Rows that wait: fair between priorities and between the tenants of a priority, by tokens.

    The classes of priority share by weight, so that the more urgent one goes first and the other is never kept waiting
    for ever. In a class, tenants share by weight. A tenant's own calls go by earliest deadline: it is free to say which
    of its calls are in a hurry, which harms nobody else, and as long as all can be in time, all are (Liu and Layland
    1973). Equal deadlines go in the order of arrival.

    Args:
        quantum: tokens that a tenant gets at a turn, or one row if that has more.
    """

    def __init__(self, weights: Weights, quantum: int) -> None:
        self._weights = weights
        self._quantum = quantum
        self._order: FairShares[Priority] = FairShares()
        self._classes = {priority: _Class() for priority in Priority}
        self._numbers = count()
        # What waits in all.
        self.tokens = self.rows = 0

    @property
    def tenants(self) -> int:
        """Tenants that wait, one with calls of two priorities counted twice."""
        return sum(len(waiting.tenants) for waiting in self._classes.values())

    @property
    def remembered(self) -> int:
        """Tenants that are known and do not wait."""
        return sum(waiting.shares.remembered for waiting in self._classes.values())

    def of(self, priority: Priority) -> tuple[int, int]:
        """Returns the tokens and rows that wait with a priority."""
        waiting = self._classes[priority]
        return waiting.tokens, waiting.rows

    def tokens_of(self, turn: Turn) -> int:
        """Returns the tokens that a tenant has waiting with a priority."""
        tenant = self._classes[turn.priority].tenants.get(turn.tenant)
        return tenant.tokens if tenant else 0

    def flooding(self, tokens: int) -> str:
        """Returns the tenant that waits with more than so many tokens, while all others wait for less; "" for none."""
        waiting = Counter[str]()
        if self.tokens > tokens and self.tenants <= _FEW:
            for one in self._classes.values():
                waiting.update({name: tenant.tokens for name, tenant in one.tenants.items()})
        name, most = max(waiting.items(), key=itemgetter(1), default=("", 0))
        return name if most > tokens > self.tokens - most else ""

    def has_others(self, tenant: str) -> bool:
        """Whether any other tenant waits."""
        return any(waiting.tenants.keys() - {tenant} for waiting in self._classes.values())

    def add(self, entry: Entry) -> None:
        """Has rows wait."""
        turn = entry.call.turn
        waiting = self._classes[turn.priority]
        tenant = waiting.tenants.get(turn.tenant)
        if tenant is None:
            if not waiting.tenants:
                self._order.enter(turn.priority, self._weights.classes[turn.priority], turn.priority.value)
            tenant = waiting.tenants[turn.tenant] = _Tenant()
            waiting.shares.enter(turn.tenant, self._weights.of(turn.tenant))
        tenant.add(next(self._numbers), entry)
        self._count(waiting, entry.tokens, len(entry))

    def remove(self, entry: Entry) -> None:
        """Takes rows out that nobody waits for any more."""
        turn = entry.call.turn
        waiting = self._classes[turn.priority]
        self._count(waiting, -entry.tokens, -len(entry))
        waiting.tenants[turn.tenant].remove(entry)
        self._leave_if_empty(turn)

    def take(self, rows: int, tokens: int, latest: float, token_s: float = 0.0, without: str | None = None) -> Taken:
        """Takes the rows of the next request out.

        Args:
            rows, tokens: most of them; a row with more tokens goes alone.
            latest: calls that expire by then, on `time.monotonic`, are dropped.
            token_s: seconds of a token. Calls are not begun whose rows do not all go into this request, and whose last
                ones would be too late at this pace: what is computed for a call that fails is lost to others.
            without: a tenant whose turn it is not, whatever it waits for.
        """
        pieces: list[Piece] = []
        expired: list[Entry] = []
        whole = tokens
        while rows > 0 and self._order and (without is None or self.has_others(without)):
            waiting = self._next_class(without)
            entry = waiting.tenants[waiting.shares.first(without)].first()
            # The rest of a call goes in full requests, with rows of others; what is begun should not fail by a hair.
            beyond = 0 if entry.begun else _MARGIN * ceil(max(0, entry.tokens - tokens) / whole) * whole
            if entry.call.turn.expires <= latest + beyond * token_s:
                self.remove(entry)
                expired.append(entry)
                continue
            piece = Piece(entry.call, entry.cut(rows, min(tokens, self._quantum), alone=not pieces))
            if not piece.indices:
                break
            self._served(entry, piece)
            pieces.append(piece)
            rows -= len(piece.indices)
            tokens -= piece.tokens
        return Taken(pieces, expired)

    def ahead(self, turn: Turn, own_expected: int = 0, expected: int = 0) -> float:
        """Returns about how many of the tokens that wait are served before those of a call that comes now.

        It is too many where other tenants wait for less than this one does.

        Args:
            own_expected, expected: tokens that are about to wait too, of the same tenant and priority, and of all.
        """
        waiting = self._classes[turn.priority]
        tenant = waiting.tenants.get(turn.tenant)
        own = own_expected + (tenant.until(turn.expires) if tenant else 0)
        weight = self._weights.of(turn.tenant)
        all_weights = waiting.shares.weight + (0 if tenant else weight)
        # The others' present turns come first, whatever this one waits for.
        in_class = min(float(waiting.tokens + expected), (own + self._quantum) * all_weights / weight)
        classes = self._weights.classes
        waiting_classes = sum(classes[p] for p, w in self._classes.items() if w.rows or p is turn.priority)
        return min(float(self.tokens + expected), in_class * waiting_classes / classes[turn.priority])

    def _next_class(self, without: str | None) -> _Class:
        waiting = self._classes[self._order.first()]
        if without is None or waiting.tenants.keys() - {without}:
            return waiting
        return next(one for one in self._classes.values() if one.tenants.keys() - {without})

    def _served(self, entry: Entry, piece: Piece) -> None:
        turn, cost = entry.call.turn, piece.tokens
        waiting = self._classes[turn.priority]
        self._order.charge(turn.priority, cost)
        waiting.shares.charge(turn.tenant, cost)
        self._count(waiting, -cost, -len(piece.indices))
        tenant = waiting.tenants[turn.tenant]
        tenant.count(entry, -cost)
        if not len(entry):
            tenant.remove(entry)
            self._leave_if_empty(turn)

    def _count(self, waiting: _Class, tokens: int, rows: int) -> None:
        waiting.tokens += tokens
        waiting.rows += rows
        self.tokens += tokens
        self.rows += rows

    def _leave_if_empty(self, turn: Turn) -> None:
        waiting = self._classes[turn.priority]
        if not waiting.tenants[turn.tenant]:
            del waiting.tenants[turn.tenant]
            waiting.shares.leave(turn.tenant)
            if not waiting.tenants:
                self._order.leave(turn.priority)


def _slot(expires: float) -> int:
    return int(min(expires, _FAR) * _SLOTS_PER_SECOND)
