"""Who runs, who waits, who is dropped, and that nobody's failure is another's: over a model that counts."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest

from support.waiting import until_sync
from symbiont.common.errors import InvalidArgument, ResourceExhausted, SymbiontError, Unavailable
from symbiont.engine.generation.generator import PREFILL_TOKENS, Generator
from symbiont.engine.generation.types import Finish, GeneratorFacts, Piece, Sampling, Task

EOS = 0


class CountingRows:
    """Each row gives the successor of its last token."""

    def __init__(self, model: "CountingModel", last: list[int]) -> None:
        self.model = model
        self.last = last

    def __len__(self) -> int:
        return len(self.last)

    def choose(self, samplers: Sequence[object]) -> list[int | Exception]:
        assert len(samplers) == len(self.last)
        return [self.model.after(token) for token in self.last]

    def advance(self, tokens: Sequence[int]) -> None:
        self.model.gate.wait(10)
        self.model.steps.append(list(tokens))
        if self.model.broken in tokens:
            raise RuntimeError("ordered by the test")
        self.last = list(tokens)

    def keep(self, indices: Sequence[int]) -> None:
        self.last = [self.last[index] for index in indices]

    def join(self, other: "CountingRows") -> bool:
        if self.model.apart:
            return False
        self.last += other.last
        return True


@dataclass
class CountingModel:
    """Takes ids up to 99 and 10000 tokens. `steps` are the tokens of each step; a closed gate holds them up."""

    steps: list[list[int]] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    apart: bool = False
    broken: int = -1
    undrawn: int = -1
    after_99: int = EOS
    facts: ClassVar[GeneratorFacts] = GeneratorFacts("a" * 64, "causal", 10_000, 100, frozenset({EOS}))

    def sampler(self, sampling: Sampling, prompt: object) -> object:
        return sampling

    def after(self, token: int) -> int | Exception:
        if token == self.undrawn:
            return ArithmeticError("ordered by the test")
        return token + 1 if token != 99 else self.after_99

    def begin(self, prompt: np.ndarray) -> "CountingPrefill":
        return CountingPrefill(self, prompt)


class CountingPrefill:
    def __init__(self, model: CountingModel, prompt: np.ndarray) -> None:
        self.model = model
        self.prompt = prompt
        self.left = len(prompt)

    def advance(self, max_tokens: int) -> CountingRows | None:
        self.model.parts.append(min(max_tokens, self.left))
        self.left -= max_tokens
        return CountingRows(self.model, [int(self.prompt[-1])]) if self.left <= 0 else None


@dataclass
class Caller:
    """What one caller has got."""

    tokens: list[int] = field(default_factory=list)
    ended: Finish | SymbiontError | None = None

    def send(self, piece: Piece | SymbiontError) -> None:
        assert self.ended is None, "something came after the end"
        if isinstance(piece, SymbiontError):
            self.ended = piece
        else:
            self.tokens += piece.ids
            self.ended = piece.finish


@pytest.fixture
def model() -> CountingModel:
    made = CountingModel()
    made.gate.set()
    return made


@pytest.fixture
def make(model) -> Callable[..., Generator]:
    made: list[Generator] = []

    def build(**settings: object) -> Generator:
        values = {"max_sequences": 4, "max_waiting": 8, "token_budget": 10_000, **settings}
        made.append(Generator(model, **values))  # type: ignore[arg-type]
        return made[-1]

    yield build
    model.gate.set()
    for generator in made:
        generator.close()


def ask(generator: Generator, name: str, last: int = 50, max_tokens: int = 5, length: int = 1, timeout: float = 60):
    caller = Caller()
    ids = np.full(length, last, np.int32)
    generator.submit(Task(name, ids, max_tokens, Sampling(), timeout, caller.send))
    return caller


def test_a_sequence_ends_by_length_or_by_its_own_end(make):
    generator = make()
    a, b = ask(generator, "a", 50, 3), ask(generator, "b", 97, 10)
    until_sync(lambda: a.ended and b.ended)
    assert (a.tokens, a.ended) == ([51, 52, 53], Finish.LENGTH)
    assert (b.tokens, b.ended) == ([98, 99, 0], Finish.EOS)


@pytest.mark.parametrize("apart", [False, True])
def test_all_that_run_step_together_or_in_turns(make, model, apart):
    model.apart = apart
    model.gate.clear()
    generator = make()
    callers = [ask(generator, str(n), 20 + 10 * n, 6) for n in range(4)]
    model.gate.set()
    until_sync(lambda: all(c.ended for c in callers))
    assert [c.tokens for c in callers] == [[20 + 10 * n + i for i in range(1, 7)] for n in range(4)]
    # Once all are there, none takes two steps before each of the others has taken one.
    turns = [sorted({token // 10 for token in tokens}) for tokens in model.steps]
    if apart:
        singles = [turn[0] for turn in turns]
        turns = [sorted(singles[start : start + 4]) for start in range(len(singles) - 16, len(singles) - 4)]
    assert all(turn == [2, 3, 4, 5] for turn in turns[-5:-1])


def test_places_and_budget_hold_and_nobody_overtakes(make, model):
    model.gate.clear()
    generator = make(max_sequences=2, token_budget=100)
    small, large, late = ask(generator, "s", 10, 9), ask(generator, "l", 20, 95), ask(generator, "x", 30, 2)
    model.gate.set()
    until_sync(lambda: late.ended)
    # The large one did not fit beside the small one, and the late one, which would have, waited behind it.
    order = [t for tokens in model.steps for t in tokens]
    assert order.index(21) > order.index(18)
    assert 31 not in order[: order.index(21)]
    assert small.ended is Finish.LENGTH
    until_sync(lambda: large.ended)


def test_a_long_prompt_goes_in_by_parts_between_the_steps_of_others(make, model):
    model.after_99 = 1
    generator = make(token_budget=20_000)
    running = ask(generator, "r", 10, 9_000)
    until_sync(lambda: len(running.tokens) > 2)
    before = len(running.tokens)
    long = ask(generator, "l", 50, 2, length=10 * PREFILL_TOKENS)
    until_sync(lambda: long.ended)
    assert model.parts[1:] == [PREFILL_TOKENS] * 10
    assert len(running.tokens) >= before + 9


def test_too_many_that_wait_are_refused_at_once(make, model):
    model.gate.clear()
    generator = make(max_sequences=1, max_waiting=2)
    first = ask(generator, "0")
    until_sync(lambda: first.tokens)
    others = [ask(generator, str(n)) for n in (1, 2)]
    with pytest.raises(ResourceExhausted):
        ask(generator, "3")
    model.gate.set()
    until_sync(lambda: all(c.ended is Finish.LENGTH for c in others))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"length": 0}, "prompt"),
        ({"last": 100}, "prompt"),
        ({"last": -1}, "prompt"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 9999, "length": 2}, "max_tokens"),
        ({"max_tokens": 600}, "max_tokens"),
    ],
)
def test_what_does_not_fit_is_refused(make, changes, field):
    with pytest.raises(InvalidArgument) as caught:
        ask(make(token_budget=500), "a", **changes)
    assert caught.value.field == field


def test_a_stopped_sequence_ends_and_the_others_do_not(make, model):
    model.after_99 = 1
    generator = make(token_budget=30_000)
    stopped, other = (ask(generator, name, 1, 9_000) for name in ("s", "o"))
    until_sync(lambda: len(other.tokens) > 3)
    generator.stop("s")
    generator.stop("nobody")
    until_sync(lambda: stopped.ended)
    assert stopped.ended is Finish.CANCELLED
    model.after_99 = EOS
    until_sync(lambda: other.ended)
    assert (other.tokens[-1], other.ended) == (EOS, Finish.EOS)


def test_a_caller_who_says_no_more_that_it_is_there_has_gone(model):
    now = [0.0]
    model.after_99 = 1
    generator = Generator(model, max_sequences=1, max_waiting=8, token_budget=10_000, lease_s=10, clock=lambda: now[0])
    running, waiting, patient = (ask(generator, name, 1, 9_000, timeout=99) for name in ("r", "w", "p"))
    now[0] = 6.0
    generator.renew("r")
    generator.renew("p")
    generator.renew("nobody")
    now[0] = 12.0
    until_sync(lambda: waiting.ended)
    assert (waiting.tokens, waiting.ended, running.ended) == ([], Finish.CANCELLED, None)
    generator.stop("r")
    until_sync(lambda: patient.tokens)
    now[0] = 17.0
    until_sync(lambda: patient.ended)
    assert (running.ended, patient.ended) == (Finish.CANCELLED, Finish.CANCELLED)
    generator.close()


def test_what_waits_can_be_stopped_and_takes_no_step(make, model):
    model.gate.clear()
    generator = make(max_sequences=1)
    first, waiting = ask(generator, "f", 10, 3), ask(generator, "w", 70, 3)
    generator.stop("w")
    model.gate.set()
    until_sync(lambda: waiting.ended)
    until_sync(lambda: first.ended)
    assert (waiting.tokens, waiting.ended) == ([], Finish.CANCELLED)
    assert not any(t > 70 for tokens in model.steps for t in tokens)


def test_a_stop_that_comes_before_its_sequence_ends_it(make, model):
    generator = make()
    generator.stop("a")
    stopped, other = ask(generator, "a"), ask(generator, "b")
    until_sync(lambda: stopped.ended and other.ended)
    assert (stopped.tokens, stopped.ended, other.ended) == ([], Finish.CANCELLED, Finish.LENGTH)


def test_what_is_late_expires_in_the_queue_or_running(model):
    now = [0.0]
    model.gate.clear()
    generator = Generator(model, max_sequences=1, max_waiting=8, token_budget=10_000, clock=lambda: now[0])
    running, waiting = ask(generator, "r", 10, 80, timeout=5), ask(generator, "w", 70, 5, timeout=3)
    until_sync(lambda: running.tokens)
    now[0] = 4.0
    model.gate.set()
    until_sync(lambda: waiting.ended)
    now[0] = 6.0
    until_sync(lambda: running.ended)
    generator.close()
    assert (waiting.tokens, waiting.ended) == ([], Finish.EXPIRED)
    assert running.ended in (Finish.EXPIRED, Finish.LENGTH)


def test_a_step_that_fails_ends_its_sequences_alone(make, model):
    model.apart, model.broken = True, 13
    generator = make()
    bad, good = ask(generator, "b", 11, 9), ask(generator, "g", 50, 30)
    until_sync(lambda: bad.ended and good.ended)
    assert isinstance(bad.ended, SymbiontError)
    assert good.ended is Finish.LENGTH
    assert ask(generator, "b", 50, 1) is not None


def test_a_sampler_that_fails_ends_its_sequence_alone(make, model):
    model.undrawn = 13
    model.gate.clear()
    generator = make()
    good, bad, last = ask(generator, "g", 50, 9), ask(generator, "b", 11, 9), ask(generator, "l", 70, 9)
    model.gate.set()
    until_sync(lambda: good.ended and bad.ended and last.ended)
    assert (bad.tokens, type(bad.ended)) == ([12, 13], SymbiontError)
    assert [good.tokens, last.tokens] == [list(range(51, 60)), list(range(71, 80))]
    assert good.ended is last.ended is Finish.LENGTH


def test_a_name_is_free_again_when_its_sequence_has_ended(make, model):
    model.gate.clear()
    generator = make()
    first = ask(generator, "a")
    with pytest.raises(InvalidArgument):
        ask(generator, "a")
    model.gate.set()
    until_sync(lambda: first.ended)
    second = ask(generator, "a")
    until_sync(lambda: second.ended)
    assert second.tokens == first.tokens


def test_closing_ends_everything(make, model):
    model.after_99 = 1
    generator = make(max_sequences=1)
    model.gate.clear()
    callers = [ask(generator, str(n), 1, 9_000) for n in range(3)]
    closing = threading.Thread(target=generator.close)
    closing.start()
    model.gate.set()
    closing.join(10)
    assert all(isinstance(c.ended, Unavailable) for c in callers)
    with pytest.raises(Unavailable):
        ask(generator, "late")
