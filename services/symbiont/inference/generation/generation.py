"""One generation from its first stage to its last."""

import time
from asyncio import Event as AsyncEvent
from collections.abc import AsyncGenerator
from contextlib import aclosing

from symbiont.common.errors import FailedPrecondition, Unavailable
from symbiont.engine.generation.types import Finish
from symbiont.inference.deadline import Deadline
from symbiont.inference.generation.bases import FIELD, GeneratorShelf
from symbiont.inference.generation.chat import render
from symbiont.inference.generation.checks import check
from symbiont.inference.generation.ports import Writer
from symbiont.inference.generation.stages import stage
from symbiont.inference.generation.stopping import StopFilter
from symbiont.inference.generation.types import (
    Delta,
    Ended,
    Event,
    GenerateCall,
    GeneratorInfo,
    Limits,
    Prompt,
    Reason,
    Started,
    Written,
)
from symbiont.inference.licenses import Licenses
from symbiont.inference.metrics import GenerationMetrics
from symbiont.inference.scheduling.rates import UNLIMITED, Rates

_REASONS = {Finish.EOS: Reason.EOS, Finish.LENGTH: Reason.LENGTH, Finish.CANCELLED: Reason.CANCELLED}


class Generation:
    """Resolves, puts the prompt together, has Triton write, and watches for stop texts."""

    def __init__(
        self,
        generators: GeneratorShelf,
        writer: Writer,
        limits: Limits,
        metrics: GenerationMetrics,
        stopping: AsyncEvent,
        licenses: Licenses,
        rates: Rates = UNLIMITED,
    ) -> None:
        """Joins the parts; once `stopping` is set, generations end at their next token."""
        self._rates = rates
        self._generators = generators
        self._writer = writer
        self._limits = limits
        self._metrics = metrics
        self._stopping = stopping
        self._licenses = licenses

    async def generate(self, call: GenerateCall, deadline: Deadline) -> AsyncGenerator[Event, None]:
        """Yields what happens: one Started, any Delta, one Ended. Leaving early stops the work.

        Raises:
            InvalidArgument: the call is wrong, or does not fit the model.
            NotFound: there is no such base model.
            FailedPrecondition, IntegrityError: it must not, or cannot, generate.
            PermissionDenied: its licence does not let the caller's tenant use it.
            ResourceExhausted: too many sequences wait, or its tenant asks for more than it may.
            Unavailable: a part that is needed cannot be reached, or went away.
            DeadlineExceeded: the time was over first.
        """
        with self._metrics.refusals.counted(), self._metrics.running() as record:
            base = check(call, self._limits)
            self._rates.take(deadline.tenant, 0)
            began, seconds = time.perf_counter(), dict[str, float]()
            async with stage("resolve", seconds, deadline):
                generator = await self._generators.get(base, deadline)
                self._licenses.check(generator.base.digest, deadline.tenant, FIELD)
            prompt = _prompt(call, generator)
            run = _Run(generator, call, began, seconds)
            writing = self._writer.write(generator, prompt, call.max_tokens, call.sampling, deadline, seconds)
            async with aclosing(writing):
                while run.ended is None:
                    for event in await self._next(run, writing, deadline):
                        yield event
            record.end(generator.base.digest, run.ended)

    async def _next(self, run: "_Run", writing: AsyncGenerator[Written, None], deadline: Deadline) -> list[Event]:
        async with deadline.bound("generate"):
            written = await anext(writing, None)
        if written is None:
            raise Unavailable("the generator ended without saying why")
        self._metrics.generated(run.generator.base.digest, deadline.tenant, written.tokens)
        read = 0 if run.started else written.prompt_tokens
        self._rates.add_tokens(deadline.tenant, read + written.tokens)
        first = [] if run.started else [Started(run.generator, self._writer.backend)]
        return [*first, *run.take(written, stopping=self._stopping.is_set())]


class _Run:
    """One generation on its way."""

    def __init__(self, generator: GeneratorInfo, call: GenerateCall, began: float, seconds: dict[str, float]) -> None:
        self.generator = generator
        self.started = False
        self.output_tokens = 0
        self.ended: Ended | None = None
        self._filter = StopFilter(call.stop)
        self._began = began
        self._seconds = seconds

    def take(self, written: Written, *, stopping: bool) -> list[Event]:
        """Returns the events that new text means."""
        self.started = True
        self.output_tokens += written.tokens
        if written.tokens and "first_token" not in self._seconds:
            self._seconds |= {"first_token": self._spent(), "queue": written.queued_s}
        text = self._filter.feed(written.text)
        reason = _REASONS[written.finish] if written.finish else Reason.CANCELLED if stopping else None
        if self._filter.found:
            reason = Reason.STOP
        elif reason:
            text += self._filter.flush()
        events: list[Event] = [Delta(text, self.output_tokens)] if text else []
        if reason:
            self._seconds["total"] = self._spent()
            counts = written.prompt_tokens, self.output_tokens
            self.ended = Ended(reason, *counts, self._filter.found, self._seconds)
            events.append(self.ended)
        return events

    def _spent(self) -> float:
        return time.perf_counter() - self._began


def _prompt(call: GenerateCall, generator: GeneratorInfo) -> Prompt:
    if call.messages is None:
        return Prompt(call.prompt or "", "prompt", framed=False)
    if generator.chat_template is None:
        raise FailedPrecondition(
            f"{generator.name} has no chat template; send a prompt", reason="NO_CHAT_TEMPLATE", field="chat"
        )
    text = render(generator.chat_template, call.messages, generator.special_tokens)
    return Prompt(text, "chat", framed=True)
