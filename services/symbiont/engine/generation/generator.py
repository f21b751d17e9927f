"""Continuous batching: sequences come and go at any step, and all that run take a step together.

One thread computes. Each round takes one part of one prompt in, so that a long prompt holds nobody up for longer than a
part of it takes, and then moves every running sequence by one token.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from symbiont.common.errors import InvalidArgument, ResourceExhausted, SymbiontError, Unavailable
from symbiont.common.lru import Lru
from symbiont.engine.generation.model import LanguageModel, Prefill, Rows, Sampler
from symbiont.engine.generation.types import Finish, Piece, Task

_LOG = logging.getLogger(__name__)

# Tokens of a prompt that go in between two steps of the others.
PREFILL_TOKENS = 256
# Names remembered of stops that found no sequence: most had just ended.
EARLY_STOPS = 1024


@dataclass(slots=True, eq=False)
class _Sequence:
    """A task on its way. `tokens` is what it may take of the budget."""

    task: Task
    tokens: int
    submitted: float
    expires: float
    lease_ends: float
    made: int = 0
    queued_s: float = 0.0
    sampler: Sampler = None
    prefill: Prefill | None = None
    stopped: bool = False
    ended: bool = False


@dataclass(slots=True, eq=False)
class _Group:
    """Sequences that step together, in the order of their rows."""

    rows: Rows
    sequences: list[_Sequence] = field(default_factory=list)


class Generator:
    """Generates for many tasks at a time, first come first served for a place among those that run."""

    def __init__(
        self,
        model: LanguageModel,
        *,
        max_sequences: int,
        max_waiting: int,
        token_budget: int,
        lease_s: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._max_sequences = max_sequences
        self._max_waiting = max_waiting
        self._budget = token_budget
        self._lease = lease_s
        self._clock = clock
        self._wake = threading.Condition()
        # These are guarded by the condition.
        self._waiting: deque[_Sequence] = deque()
        self._by_name: dict[str, _Sequence] = {}
        self._closed = False
        self._early_stops: Lru[str, bool] = Lru(EARLY_STOPS)
        # These are the computing thread's own.
        self._entering: deque[_Sequence] = deque()
        self._groups: list[_Group] = []
        self._thread = threading.Thread(target=self._run, name="generator", daemon=True)
        self._thread.start()

    def submit(self, task: Task) -> None:
        """Takes a task in.

        Raises:
            InvalidArgument: it does not fit the model or the budget.
            ResourceExhausted: too many wait.
        """
        tokens = self._check(task)
        now = self._clock()
        made = _Sequence(task, tokens, now, now + task.timeout_s, now + self._lease)
        with self._wake:
            if self._closed:
                raise Unavailable("the generator is being unloaded")
            if task.name in self._by_name:
                raise InvalidArgument("request_id", f"{task.name!r} runs already")
            if len(self._waiting) >= self._max_waiting:
                raise ResourceExhausted(f"{len(self._waiting)} sequences wait already")
            # Triton may hand over a stop before the request that it follows.
            made.stopped = self._early_stops.get(task.name) or False
            self._waiting.append(made)
            self._by_name[task.name] = made
            self._wake.notify()

    def stop(self, name: str) -> None:
        """Ends a sequence at its next step; one that has ended is no error, and one that is still to come ends then."""
        with self._wake:
            if found := self._by_name.get(name):
                found.stopped = True
            else:
                self._early_stops.put(name, True)

    def renew(self, name: str) -> None:
        """Takes note that the caller of a sequence is still there; one that has ended is no error."""
        with self._wake:
            if found := self._by_name.get(name):
                found.lease_ends = self._clock() + self._lease

    def close(self) -> None:
        """Ends every sequence, then the thread."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _check(self, task: Task) -> int:
        facts, length = self._model.facts, len(task.ids)
        if not length:
            raise InvalidArgument("prompt", "it has no tokens")
        if int(task.ids.min()) < 0 or int(task.ids.max()) >= facts.vocab_size:
            raise InvalidArgument("prompt", f"it has ids outside the vocabulary of {facts.vocab_size}")
        if task.max_tokens < 1:
            raise InvalidArgument("max_tokens", f"{task.max_tokens} is not at least 1")
        tokens = length + task.max_tokens
        longest = tokens if facts.kind == "causal" else max(length, task.max_tokens)
        if longest > facts.max_length:
            problem = f"{length} tokens of prompt and {task.max_tokens} to generate; the model takes {facts.max_length}"
            raise InvalidArgument("max_tokens", problem)
        if tokens > self._budget:
            raise InvalidArgument("max_tokens", f"{tokens} tokens with the prompt, over the budget of {self._budget}")
        return tokens

    def _run(self) -> None:
        while self._wait():
            self._drop()
            self._admit()
            self._take_in()
            for group in self._groups:
                self._guarded(group.sequences, self._step, group)
            self._groups = [group for group in self._groups if group.sequences]
        for sequence in [*self._waiting, *self._running()]:
            self._end(sequence, Unavailable("the generator was unloaded"))

    def _wait(self) -> bool:
        """Waits for work; False when there will be none."""
        with self._wake:
            self._wake.wait_for(lambda: self._waiting or self._entering or self._groups or self._closed)
            return not self._closed

    def _running(self) -> list[_Sequence]:
        return [*self._entering, *(sequence for group in self._groups for sequence in group.sequences)]

    def _admit(self) -> None:
        """Lets the first that waits in while there is room; none overtakes it, or a large one would wait for ever."""
        running = self._running()
        used, count = sum(sequence.tokens for sequence in running), len(running)
        with self._wake:
            while self._waiting and count < self._max_sequences and used + self._waiting[0].tokens <= self._budget:
                sequence = self._waiting.popleft()
                sequence.queued_s = self._clock() - sequence.submitted
                self._entering.append(sequence)
                count, used = count + 1, used + sequence.tokens

    def _drop(self) -> None:
        """Ends what nobody waits for, before a step is spent on it."""
        with self._wake:
            everything = [*self._waiting, *self._running()]
        for sequence in everything:
            if finish := self._given_up(sequence):
                self._end(sequence, Piece([], finish, sequence.queued_s))
        with self._wake:
            self._waiting = deque(s for s in self._waiting if not s.ended)
        self._entering = deque(s for s in self._entering if not s.ended)
        for group in self._groups:
            self._keep(group)
        self._groups = [group for group in self._groups if group.sequences]

    def _given_up(self, sequence: _Sequence) -> Finish | None:
        now = self._clock()
        if now >= sequence.expires:
            return Finish.EXPIRED
        return Finish.CANCELLED if sequence.stopped or now >= sequence.lease_ends else None

    def _take_in(self) -> None:
        """Takes prompts in, in their order, up to so many tokens a round."""
        room = PREFILL_TOKENS
        while self._entering and room > 0:
            sequence = self._entering[0]
            room -= len(sequence.task.ids)
            self._guarded([sequence], self._take_part, sequence)
            if sequence.ended or sequence.sampler is not None:
                self._entering.popleft()

    def _take_part(self, sequence: _Sequence) -> None:
        task = sequence.task
        if sequence.prefill is None:
            sequence.prefill = self._model.begin(task.ids)
        rows = sequence.prefill.advance(PREFILL_TOKENS)
        if rows is None:
            return
        sequence.prefill, sequence.sampler = None, self._model.sampler(task.sampling, task.ids)
        for group in self._groups:
            if group.rows.join(rows):
                group.sequences.append(sequence)
                return
        self._groups.append(_Group(rows, [sequence]))

    def _step(self, group: _Group) -> None:
        chosen = group.rows.choose([sequence.sampler for sequence in group.sequences])
        tokens: list[int] = []
        for sequence, token in zip(group.sequences, chosen, strict=True):
            if isinstance(token, Exception):
                _LOG.error("a token could not be chosen", exc_info=token)
                self._end(sequence, _failed())
                continue
            self._give(sequence, token)
            if not sequence.ended:
                tokens.append(token)
        self._keep(group)
        if tokens:
            group.rows.advance(tokens)

    def _give(self, sequence: _Sequence, token: int) -> None:
        sequence.made += 1
        finish = None
        if token in self._model.facts.eos_ids:
            finish = Finish.EOS
        elif sequence.made == sequence.task.max_tokens:
            finish = Finish.LENGTH
        piece = Piece([token], finish, sequence.queued_s)
        if finish:
            self._end(sequence, piece)
        else:
            self._send(sequence, piece)

    def _keep(self, group: _Group) -> None:
        """Drops the rows of sequences that have ended."""
        left = [index for index, sequence in enumerate(group.sequences) if not sequence.ended]
        if left and len(left) < len(group.sequences):
            group.rows.keep(left)
        group.sequences = [group.sequences[index] for index in left]

    def _guarded(self, sequences: Sequence[_Sequence], work: Callable[..., None], *arguments: object) -> None:
        """Does work on sequences; what fails ends these, and no other."""
        try:
            work(*arguments)
        except Exception:  # noqa: BLE001, whatever failed in the model, callers who wait must hear of it
            _LOG.exception("a step failed")
            for sequence in list(sequences):
                self._end(sequence, _failed())
            for group in self._groups:
                group.sequences = [sequence for sequence in group.sequences if not sequence.ended]

    def _end(self, sequence: _Sequence, last: Piece | SymbiontError) -> None:
        if sequence.ended:
            return
        sequence.ended = True
        with self._wake:
            del self._by_name[sequence.task.name]
        self._send(sequence, last)

    def _send(self, sequence: _Sequence, piece: Piece | SymbiontError) -> None:
        try:
            sequence.task.send(piece)
        except Exception:  # noqa: BLE001, an answer that cannot be sent must not take those of others with it
            _LOG.exception("a piece could not be sent")
            sequence.stopped = True


def _failed() -> SymbiontError:
    return SymbiontError("the generator failed to compute a step; its log says why")
