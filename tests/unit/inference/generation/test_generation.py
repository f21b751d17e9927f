"""One generation over fakes of its neighbours: what it yields, what it stops, what it counts."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    SymbiontError,
    Unavailable,
)
from symbiont.common.licenses import LicenseTerms
from symbiont.engine.generation.types import Finish
from symbiont.inference.deadline import Deadline
from symbiont.inference.generation.bases import GeneratorShelf
from symbiont.inference.generation.generation import Generation
from symbiont.inference.generation.types import (
    Backend,
    Base,
    Delta,
    Ended,
    Event,
    GenerateCall,
    Limits,
    Message,
    Prompt,
    Reason,
    Started,
    Written,
)
from symbiont.inference.licenses import LicenseMetrics, Licenses
from symbiont.inference.metrics import GenerationMetrics
from symbiont.inference.scheduling.rates import UNLIMITED, Rate, Rates
from symbiont.inference.types import LicensedBase

TEMPLATE = "{% for m in messages %}{{ bos_token }}{{ m.content }}{% endfor %}"


class FakeBases:
    def __init__(self, store: ArtifactStore) -> None:
        self.asked: list[str] = []
        fields = {"kind": "base", "format_version": 1}
        language = fields | {"model_kind": "causal", "max_length": 50, "special_tokens": {"bos_token": "<s>"}}
        files = {"config.json": b"{}", "chat_template.jinja": TEMPLATE.encode()}
        self.digests = {
            "tiny": store.put("bases", files, language),
            "mute": store.put("bases", {"config.json": b"{}"}, language),
            "encoder": store.put("bases", {"config.json": b"{}"}, fields | {"pooling": "mean"}),
            "gone": "e" * 64,
        }

    async def base(self, identifier: str, timeout_s: float) -> Base:
        self.asked.append(identifier)
        if identifier not in self.digests:
            raise NotFound("no such base")
        return Base(identifier, self.digests[identifier], "f" * 64)


class FakeWriter:
    """Writes what it was told to, one piece at a time; then ends, fails, or waits for ever."""

    backend = Backend.SYMBIONT

    def __init__(self) -> None:
        self.pieces: list[Written] = []
        self.error: SymbiontError | None = None
        self.hangs = False
        self.prompts: list[Prompt] = []
        self.given = 0
        self.left = False

    async def write(self, generator, prompt, max_tokens, sampling, deadline, seconds) -> AsyncGenerator[Written, None]:
        self.prompts.append(prompt)
        try:
            for piece in self.pieces:
                await asyncio.sleep(0)
                self.given += 1
                yield piece
            if self.hangs:
                await asyncio.sleep(60)
            if self.error:
                raise self.error
        finally:
            self.left = True

    def says(self, *texts: str, finish: Finish | None = Finish.EOS) -> None:
        self.pieces = [Written(text, 1, 3) for text in texts]
        if finish:
            self.pieces.append(Written("", 1, 3, finish))


class Setting:
    def __init__(self, folder: Path, rates: Rates = UNLIMITED) -> None:
        self.registry = CollectorRegistry()
        store = ArtifactStore(folder)
        self.bases, self.writer, self.stopping = FakeBases(store), FakeWriter(), asyncio.Event()
        self.metrics = GenerationMetrics(self.registry)
        self.known: list[LicensedBase] = []
        self.licenses = Licenses(self, LicenseMetrics(self.registry))
        shelf = GeneratorShelf(self.bases, store, 8)
        self.generation = Generation(shelf, self.writer, Limits(100), self.metrics, self.stopping, self.licenses, rates)

    async def licensed(self) -> list[LicensedBase]:
        """What the registry knows of bases."""
        return self.known

    async def run(self, seconds: float = 5, tenant: str = "", **changes: object) -> list[Event]:
        call = GenerateCall(**{"base_model": "bases/tiny", "prompt": "hi", **changes})  # type: ignore[arg-type]
        return [event async for event in self.generation.generate(call, Deadline(seconds, tenant))]

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"symbiont_inference_{name}", labels) or 0


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


async def test_start_deltas_end(setting: Setting) -> None:
    setting.writer.says("Hel", "", "lo")
    first, *deltas, last = await setting.run()
    assert isinstance(first, Started)
    assert (first.generator.base.digest, first.backend) == (setting.bases.digests["tiny"], Backend.SYMBIONT)
    assert deltas == [Delta("Hel", 1), Delta("lo", 3)]
    assert isinstance(last, Ended)
    assert (last.reason, last.prompt_tokens, last.output_tokens, last.stop) == (Reason.EOS, 3, 4, "")
    assert {"resolve", "first_token", "queue", "total"} <= last.seconds.keys()
    assert last.tokens_per_second > 0
    await setting.run()
    assert setting.bases.asked == ["tiny"]


async def test_a_licence_that_ended_ends_the_answers(setting: Setting) -> None:
    setting.writer.says("no")
    terms = LicenseTerms(expire_time=datetime(2020, 1, 2, tzinfo=UTC))
    setting.known = [LicensedBase("bases/tiny", setting.bases.digests["tiny"], "acme", "MIT", terms)]
    await setting.licenses.refresh()
    with pytest.raises(PermissionDenied, match=r"^base_model: the licence of bases/tiny ended on 2020-01-02"):
        await setting.run()
    assert setting.writer.prompts == []


@pytest.mark.parametrize(
    ("rate", "word"), [(Rate(calls=0.1), "calls"), (Rate(tokens=1.0), "tokens"), (Rate(100.0, 1.0), "tokens")]
)
async def test_beyond_its_rate_a_tenant_is_refused(tmp_path: Path, rate: Rate, word: str) -> None:
    """Its first one goes on to its end, whatever it takes; three tokens of it are the prompt's."""
    setting = Setting(tmp_path, Rates({"bank": rate}))
    setting.writer.says("a", "b", "c")
    assert text_of(await setting.run(tenant="bank")) == "abc"
    with pytest.raises(ResourceExhausted, match=f"more {word} in a second"):
        await setting.run(tenant="bank")
    assert len(setting.writer.prompts) == 1
    assert text_of(await setting.run(tenant="shop")) == "abc"


@pytest.mark.parametrize(
    ("finish", "reason"),
    [(Finish.EOS, Reason.EOS), (Finish.LENGTH, Reason.LENGTH), (Finish.CANCELLED, Reason.CANCELLED)],
)
async def test_why_it_ended(setting: Setting, finish: Finish, reason: Reason) -> None:
    setting.writer.says("a", finish=finish)
    assert (await setting.run())[-1].reason is reason  # type: ignore[union-attr]
    assert setting.value("generations_total", finish=reason) == 1


async def test_a_stop_text_ends_the_work(setting: Setting) -> None:
    setting.writer.says("one. t", "wo", ".\n", "\nthree", "four")
    events = await setting.run(stop=["\n\n", "##"])
    assert text_of(events) == "one. two."
    assert isinstance(events[-1], Ended)
    assert (events[-1].reason, events[-1].stop, events[-1].output_tokens) == (Reason.STOP, "\n\n", 4)
    assert (setting.writer.given, setting.writer.left) == (4, True)


async def test_held_back_text_comes_at_the_end(setting: Setting) -> None:
    setting.writer.says("a#", finish=Finish.LENGTH)
    events = await setting.run(stop=["##"])
    assert [type(event) for event in events] == [Started, Delta, Delta, Ended]
    assert text_of(events) == "a#"


async def test_a_chat_goes_through_the_template(setting: Setting) -> None:
    setting.writer.says("x")
    await setting.run(prompt=None, messages=[Message("user", "a"), Message("user", "b")])
    assert setting.writer.prompts == [Prompt("<s>a<s>b", "chat", framed=True)]


@pytest.mark.parametrize(
    ("changes", "kind", "reason"),
    [
        ({"base_model": "bases/nobody"}, NotFound, "NOT_FOUND"),
        ({"base_model": "bases/encoder"}, FailedPrecondition, "NOT_A_GENERATOR"),
        ({"base_model": "bases/gone"}, FailedPrecondition, "FAILED_PRECONDITION"),
        (
            {"base_model": "bases/mute", "prompt": None, "messages": [Message("user", "a")]},
            FailedPrecondition,
            "NO_CHAT_TEMPLATE",
        ),
    ],
)
async def test_what_cannot_generate(
    setting: Setting, changes: dict[str, object], kind: type[SymbiontError], reason: str
) -> None:
    with pytest.raises(kind) as caught:
        await setting.run(**changes)
    assert caught.value.reason == reason
    assert setting.value("generation_refusals_total", reason=reason) == 1
    assert setting.value("generations_total", finish="cancelled") == 0
    assert not setting.writer.prompts


async def test_an_error_in_the_middle_ends_it(setting: Setting) -> None:
    setting.writer.says("a", finish=None)
    setting.writer.error = Unavailable("Triton went away")
    got: list[Event] = []

    async def follow() -> None:
        async for event in setting.generation.generate(GenerateCall("bases/tiny", "hi"), Deadline(5)):
            got.append(event)

    with pytest.raises(Unavailable):
        await follow()
    assert text_of(got) == "a"
    setting.writer.error = None
    with pytest.raises(Unavailable, match="without saying why"):
        await setting.run()


async def test_the_deadline_ends_it_and_the_work(setting: Setting) -> None:
    setting.writer.says("a", finish=None)
    setting.writer.hangs = True
    with pytest.raises(DeadlineExceeded):
        await setting.run(seconds=0.05)
    assert setting.writer.left


async def test_a_caller_who_leaves_ends_the_work(setting: Setting, until: Callable[..., object]) -> None:
    setting.writer.says("a", finish=None)
    setting.writer.hangs = True
    async with aclosing(setting.generation.generate(GenerateCall("bases/tiny", "hi"), Deadline(5))) as events:
        assert isinstance(await anext(events), Started)
        assert setting.value("generations_running") == 1
    assert setting.writer.left
    assert setting.value("generations_running") == 0
    assert setting.value("generations_total", finish="cancelled") == 1
    base = setting.bases.digests["tiny"][:12]
    assert setting.value("generated_tokens_total", base=base) == 1
    assert setting.value("tenant_generated_tokens_total", tenant=base) == 1


async def test_a_service_that_stops_ends_it_with_a_true_beginning(setting: Setting) -> None:
    setting.writer.says("a", "b", "c")
    setting.stopping.set()
    events = await setting.run()
    assert text_of(events) == "a"
    assert events[-1].reason is Reason.CANCELLED  # type: ignore[union-attr]
