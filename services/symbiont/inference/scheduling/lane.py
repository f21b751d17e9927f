"""One host and the rows that wait for it: so many requests in flight, filled from the queue as they come back."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from symbiont.common.errors import DeadlineExceeded, Unavailable
from symbiont.common.log import get_logger
from symbiont.common.tracing import together, waited
from symbiont.engine.row import HostAnswer
from symbiont.inference.metrics import QueueFigures, SchedulingMetrics
from symbiont.inference.ports import HostClient
from symbiont.inference.scheduling.admission import Admission
from symbiont.inference.scheduling.call import Call, Entry, Piece
from symbiont.inference.scheduling.company import Company
from symbiont.inference.scheduling.pace import Pace, Sizes
from symbiont.inference.scheduling.parking import Parking
from symbiont.inference.scheduling.queue import FairQueue, Taken, Weights
from symbiont.inference.scheduling.request import Request
from symbiont.inference.scheduling.residency import Residency
from symbiont.inference.types import Priority

_PROBE_S = 0.5
# A request with less time says nothing of its host: one that is well may need as long.
_FAIR_S = 0.1
# So long a host counts as silent that answered nothing since: then Triton's word is taken again, for nobody may be
# asking because of ours.
_SILENT_S = 60.0
# A request may be so many times larger than it should be, where that leaves nothing behind.
_STRETCH = 2


@dataclass(frozen=True)
class LaneLimits:
    """What a host is given at a time.

    Attributes:
        in_flight: requests that are sent and not answered: one is computed while the next is on its way.
        batch_rows: most of them in a request.
        sizes: tokens of a request; a row with more goes alone. As long as one is computed, or twice as long, whoever
            comes next must wait.
        shared: the same while one tenant fills the queue and others come by with less than a request. What is computed
            keeps others waiting whatever the queue's order: so the one has a request less in flight than it could, and
            smaller ones; the others find the last place free, and rows of theirs go alone.
        spare_lanes: the host computes what the one has in so many lanes less; 0: nobody leaves anything to others.
        quantum: tokens that a tenant gets at a turn.
        queued_tokens: most that wait.
        bundles: those that a host keeps in memory, in one server.
        servers: tells how many servers share the bundles of a base now.
        loads: bundles that are loaded at a time, each by a request beside the others.
        weights: shares of tenants and priorities.
    """

    in_flight: int = 2
    batch_rows: int = 256
    sizes: Sizes = field(default_factory=Sizes)
    shared: Sizes = field(default_factory=lambda: Sizes(seconds=0.03, least=16))
    spare_lanes: int = 1
    quantum: int = 256
    queued_tokens: int = 1 << 20
    bundles: int = 64
    servers: Callable[[], int] = lambda: 1
    loads: int = 2
    weights: Weights = field(default_factory=Weights)


class Lane:
    """The way to one host. A host that does not answer holds no slot for longer than its rows have time."""

    def __init__(
        self, base: str, hosts: HostClient, limits: LaneLimits, metrics: SchedulingMetrics, clock: Callable[[], float]
    ) -> None:
        self._base = base
        self._hosts = hosts
        self._limits = limits
        self._metrics = metrics
        self._clock = clock
        self.queue = FairQueue(limits.weights, limits.quantum)
        self.parking = Parking(limits.loads)
        self.pace = Pace()
        self._company = Company()
        self.admission = Admission(self.queue, self.pace, self, limits.queued_tokens, clock, metrics)
        self._residency = Residency(limits.bundles, limits.servers)
        self._waiting: dict[Call, list[Entry]] = {}
        self._running: dict[Request, asyncio.Task[None]] = {}
        # Tokens that were sent and are not answered, and requests that load nothing.
        self.tokens_in_flight = self._plain_in_flight = 0
        self._last_back = 0.0
        # Requests in a row of which nothing was heard until nobody waited for them any more.
        self._silent = 0
        self._silent_until = 0.0
        self._probing: asyncio.Task[None] | None = None
        self._pump_is_due = False

    @property
    def tokens_parked(self) -> int:
        """Tokens that wait for their bundle."""
        return self.parking.tokens

    @property
    def in_flight(self) -> int:
        """Requests that were sent and are not answered."""
        return len(self._running)

    @property
    def calls(self) -> int:
        """Calls that are not done."""
        return len(self._waiting)

    @property
    def stalled(self) -> bool:
        """Whether the host left its last requests unanswered: it gets no more before it is known to live."""
        return self._silent >= self._limits.in_flight

    @property
    def silent(self) -> bool:
        """Whether the host lately left requests unanswered that had time enough, and has answered none since."""
        return self._clock() < self._silent_until

    def figures(self) -> QueueFigures:
        """Returns what waits and runs now."""
        return QueueFigures(
            tokens={priority: self.queue.of(priority)[0] for priority in Priority},
            rows={priority: self.queue.of(priority)[1] for priority in Priority},
            parked_rows=self.parking.rows,
            tenants=self.queue.tenants,
            in_flight=self.in_flight,
            tokens_per_s=self.pace.tokens_per_s,
        )

    def submit(self, call: Call) -> None:
        """Has the rows of a call wait for their turn; whoever waits for them withdraws the call at the end."""
        # Models of one tenant share requests as well as they can.
        if call.turn.is_named:
            self._company.note(call.turn.tenant, self._clock())
        ready: list[int] = []
        cold: defaultdict[str, list[int]] = defaultdict(list)
        for index, row in enumerate(call.rows):
            (ready if row.bundle in self._residency else cold[row.bundle]).append(index)
        entries = self._waiting[call] = []
        if ready:
            entries.append(Entry(call, ready, self._limits.quantum))
            self.queue.add(entries[0])
        for bundle, indices in cold.items():
            entries.append(Entry(call, indices, self._limits.quantum))
            self.parking.add(bundle, entries[-1])
        self._pump_soon()

    def withdraw(self, call: Call) -> int:
        """Forgets a call; returns how many of its rows were still waiting."""
        rows = 0
        for entry in self._waiting.pop(call, ()):
            if entry:
                if not self.parking.remove(entry):
                    self.queue.remove(entry)
                rows += entry.clear()
        call.drop()
        return rows

    def _pump_soon(self) -> None:
        # Not at once: what arrives in the same moment goes together.
        if not self._pump_is_due:
            self._pump_is_due = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_is_due = False
        if self.stalled:
            return
        flood = self._flood()
        rows, tokens = self._limits.batch_rows, self.pace.request_tokens(self._sizes(flood))
        while (bundle := self.parking.next()) is not None:
            self._send(self.parking.take(bundle, rows, tokens), bundle)
        while self.queue.rows and self._may_send():
            aside = bool(flood) and self._leaves_place(flood)
            if aside and not self.queue.has_others(flood):
                break
            # A little more than fits goes along: two requests would cost more than one that is longer.
            fits = self.queue.tokens <= _STRETCH * tokens and not flood
            taken = self._take(rows, self.queue.tokens if fits else tokens, flood if aside else None)
            # Rows of a call may wait in two entries, of which one was taken out before the other turned out to be late.
            pieces = self._expire(taken)
            if pieces:
                self._send(pieces, None, spare=0 if aside or not flood else self._limits.spare_lanes, aside=aside)

    def _take(self, rows: int, tokens: int, without: str | None) -> Taken:
        """Takes out what comes back in time, as far as that is known."""
        before = self.tokens_in_flight
        if not before and self.queue.tokens <= tokens:
            # Nothing is in the way: whoever asks for more than can be done in time may try.
            return self.queue.take(rows, tokens, self._clock(), without=without)
        back = self._clock() + self.pace.seconds(before + min(tokens, self.queue.tokens))
        return self.queue.take(rows, tokens, back, self.pace.seconds(1), without)

    def _may_send(self) -> bool:
        return self._plain_in_flight < max(1, self._limits.in_flight - self._silent)

    def _flood(self) -> str:
        """Returns the tenant that is to leave room to others, if there is one."""
        if not self._limits.spare_lanes:
            return ""
        return self._company.flooding(self.queue, self.pace.request_tokens(self._limits.shared), self._clock())

    def _leaves_place(self, flood: str) -> bool:
        """Whether it is not the turn of a tenant that floods: the others have the last place, and it has the rest."""
        if self._limits.in_flight == 1:
            return False
        plain = [request for request in self._running if request.loading is None]
        own = sum(any(piece.call.turn.tenant == flood for piece in request.pieces) for request in plain)
        nobody_else = own == len(plain) and self.queue.has_others(flood)
        return own >= self._limits.in_flight - 1 or nobody_else

    def _sizes(self, flood: str) -> Sizes:
        return self._limits.shared if flood else self._limits.sizes

    def _send(self, pieces: Sequence[Piece], loading: str | None, *, spare: int = 0, aside: bool = False) -> None:
        rows = [piece.call.rows[index] for piece in pieces for index in piece.indices]
        tokens, now = sum(piece.tokens for piece in pieces), self._clock()
        request = Request(pieces, rows, tokens, now, loading, full=self.queue.rows > 0, spare=spare, aside=aside)
        for piece in pieces:
            turn = piece.call.turn
            seconds = now - piece.call.arrived
            self._metrics.sent(turn.tenant, turn.priority, len(piece.indices), piece.tokens, seconds)
            waited("queue", piece.call.trace, seconds)
        self._metrics.request(len(rows), tokens, self._fill(len(rows), tokens))
        self.tokens_in_flight += tokens
        self._plain_in_flight += loading is None
        self._running[request] = asyncio.create_task(self._run(request))

    def _fill(self, rows: int, tokens: int) -> float:
        return max(rows / self._limits.batch_rows, tokens / self.pace.request_tokens(self._limits.sizes))

    async def _run(self, request: Request) -> None:
        try:
            self._answered(request, await self._ask(request))
        except Exception as exc:  # noqa: BLE001, whatever it is, those who wait must hear of it
            self._failed(request, exc)
        finally:
            del self._running[request]
            self.tokens_in_flight -= request.tokens
            self._plain_in_flight -= request.loading is None
            if request.loading is not None:
                for entry in self.parking.loaded(request.loading, request.loading in self._residency):
                    self.queue.add(entry)
            self._pump_soon()

    async def _ask(self, request: Request) -> HostAnswer:
        left = max(request.expires - self._clock(), 1e-3)
        with together("host", [call.trace for call in request.calls], request.figures | {"symbiont.base": self._base}):
            return await self._hosts.infer_rows(
                self._base, request.rows, timeout_s=left, request_id=request.request_id, spare=request.spare
            )

    def _answered(self, request: Request, answer: HostAnswer) -> None:
        now, self._silent, self._silent_until = self._clock(), 0, 0.0
        tokens_of = Counter[str]()
        for piece in request.pieces:
            tokens_of[piece.call.turn.tenant] += piece.tokens
        self._metrics.answered(self._base, tokens_of, answer.times, now - request.sent)
        if request.loading is None and not request.aside:
            seconds = now - max(self._last_back, request.sent)
            self.pace.note(request.tokens, seconds, answer.times.in_host, full=request.full)
            self._last_back = now
        expired = 0
        for row, answered in zip(request.rows, answer.rows, strict=True):
            if not isinstance(answered, Exception):
                self._residency.use(row.bundle)
            expired += isinstance(answered, DeadlineExceeded)
        self._metrics.expired("host", expired)
        self._metrics.wasted(request.answered(answer))

    def _failed(self, request: Request, error: Exception) -> None:
        waiting = 0
        for call in request.calls:
            call.fail(error)
            # At once: what of it still waits would be sent before its caller wakes, and has no rows any more.
            waiting += self.withdraw(call)
        if isinstance(error, DeadlineExceeded):
            self._metrics.expired("host", len(request.rows))
            self._metrics.expired("queue", waiting)
            self._unanswered(request)
        elif isinstance(error, Unavailable):
            # It may come back with nothing in memory.
            self._residency.clear()

    def _unanswered(self, request: Request) -> None:
        before, now = self.stalled, self._clock()
        self._silent += 1
        # It may be slow rather than silent: rows are then sent only while they have time enough for that.
        self.pace.gave_up(request.tokens, now - request.sent)
        # Of a host that stays silent each request that tries it counts: its silence goes on.
        if self.stalled and not before and request.expires - request.sent >= _FAIR_S:
            if not self.silent:
                get_logger().warning("a host is silent", base=self._base)
            self._metrics.stalls()
            self._silent_until = now + _SILENT_S
        if self.stalled and not self._probing:
            self._probing = asyncio.create_task(self._probe())

    async def _probe(self) -> None:
        """Lets one request go to a silent host each time that Triton says that it is ready."""
        try:
            while self.stalled:
                if await self._hosts.host_ready(self._base):
                    self._silent = self._limits.in_flight - 1
                    self._pump_soon()
                await asyncio.sleep(_PROBE_S)
        finally:
            self._probing = None

    def _expire(self, taken: Taken) -> list[Piece]:
        """Ends the calls whose time is over; returns what is to be sent of the others."""
        calls = dict.fromkeys(entry.call for entry in taken.expired)
        # The queue has taken these out, all of them before the first call is forgotten; its rest may wait elsewhere.
        rows = sum(entry.clear() for entry in taken.expired)
        rows += sum(len(piece.indices) for piece in taken.pieces if piece.call in calls)
        for call in calls:
            rows += self.withdraw(call)
            call.fail(DeadlineExceeded("the deadline passed, or would have, before the rows had their turn"))
        self._metrics.expired("queue", rows)
        return [piece for piece in taken.pieces if piece.call not in calls]
