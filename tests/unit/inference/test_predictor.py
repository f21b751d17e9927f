"""A prediction passes its stages in order, within its deadline, and only with what belongs together."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from symbiont.bundle import ClassificationHead, EntityHead
from symbiont.bundle.fields import NumberField
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    IntegrityError,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    SymbiontError,
    Unavailable,
)
from symbiont.common.request_id import accept_request_id
from symbiont.engine.row import HostAnswer, Row, Times
from symbiont.inference import explain as explaining
from symbiont.inference import predictor as predicting
from symbiont.inference.bundles import BundleShelf
from symbiont.inference.catalogues.matching import Matching, Opened
from symbiont.inference.catalogues.shelf import Shelf
from symbiont.inference.catalogues.versions import Versions
from symbiont.inference.deadline import Deadline
from symbiont.inference.explain import ExplainCall
from symbiont.inference.instances import Instance, Pair, Query, QuestionContext, Text
from symbiont.inference.licenses import LicenseMetrics, Licenses
from symbiont.inference.metrics import CatalogueMetrics, SchedulingMetrics
from symbiont.inference.predictor import Limits, Predictor
from symbiont.inference.releases.shadow import Question
from symbiont.inference.router import Router
from symbiont.inference.scheduling.lane import LaneLimits
from symbiont.inference.scheduling.scheduler import Scheduler
from symbiont.inference.table import RoutingTable
from symbiont.inference.tokens import Places, TokenQuery, Tokens
from symbiont.inference.types import AliasUpdate, BundleInfo, LicensedBase, PredictCall, Served

CALL = PredictCall("models/x@production", [Instance(Text("one two")), Instance(Text("three"))])


def texts(*given: str) -> list[Instance]:
    return [Instance(Text(text)) for text in given]


class Setting:
    """A predictor on fakes that knows model x, whose only version is 1."""

    def __init__(
        self, registry: Any, tokens: Any, hosts: Any, metrics: Any, prometheus: Any, alias: Any, info: Any, of: Any
    ) -> None:
        self.registry, self.tokens, self.hosts, self.prometheus = registry, tokens, hosts, prometheus
        self.version = alias("x").version
        self.info: BundleInfo = info
        hosts.logits[self.version.bundle_digest] = [0.0, 4.0, 2.0]
        table = RoutingTable()
        table.apply(AliasUpdate([alias("x")], complete=True))
        shelf = BundleShelf(lambda digest: self.info, 4)
        router = Router(registry, table, metrics, 4)
        scheduler = Scheduler(hosts, LaneLimits(), SchedulingMetrics(prometheus))
        self.releases, _, _ = of(table, registry, scheduler, shelf, metrics)
        own = CatalogueMetrics(prometheus)
        versions = Versions(ArtifactStore("/nonexistent"), 2)
        self.matching = Matching(versions, Shelf(lambda _: pytest.fail("nothing is asked for"), 1, own), own)
        licenses = Licenses(self, LicenseMetrics(prometheus))
        self.predictor = Predictor(
            router, shelf, tokens, scheduler, self.releases, Limits(3, 64), metrics, self.matching, licenses
        )

    async def licensed(self) -> list[LicensedBase]:
        """What the registry knows of bases."""
        return []

    def counted(self, name: str, **labels: str) -> float | None:
        return self.prometheus.get_sample_value(f"symbiont_inference_{name}", labels)


@pytest.fixture
def setting(
    registry: Any, tokens: Any, hosts: Any, metrics: Any, prometheus: Any, alias: Any, info: Any, releases_of: Any
) -> Setting:
    return Setting(registry, tokens, hosts, metrics, prometheus, alias, info, releases_of)


async def test_a_call_is_answered_and_counted(setting: Setting) -> None:
    accept_request_id([("x-request-id", "r1")])
    result = await setting.predictor.predict(CALL, Deadline(5))
    assert [c.label for c in result.predictions[0].result.classes] == ["yes", "perhaps", "no"]
    assert result.version == setting.version
    assert set(result.seconds) == {"resolve", "tokenize", "infer", "queue", "compute"}
    # The host's queue and the own one before it.
    assert result.seconds["infer"] > result.seconds["queue"] - 0.001 > 0
    assert result.seconds["compute"] == 0.002
    base, rows, timeout, request_id = setting.hosts.calls[0]
    assert (base, rows, request_id) == (setting.version.base_digest, [[0, 1], [0]], "r1")
    assert 0 < timeout <= 5
    assert setting.counted("predictions_total", base="a" * 12) == 1
    assert setting.counted("instances_total", base="a" * 12) == 2
    assert setting.counted("batch_size_sum") == 2
    assert [setting.counted("stage_seconds_count", stage=s) for s in ("resolve", "tokenize", "infer")] == [1, 1, 1]


async def test_top_k_and_truncation_are_passed_on(setting: Setting) -> None:
    setting.info = replace(setting.info, max_tokens=1)
    result = await setting.predictor.predict(replace(CALL, top_k=1), Deadline(5))
    assert [len(p.result.classes) for p in result.predictions] == [1, 1]
    assert [p.truncated for p in result.predictions] == [True, False]
    assert setting.tokens.calls[0][:2] == (setting.version.tokenizer_digest, 1)


@pytest.mark.parametrize(
    ("changed", "field", "reason"),
    [
        ({"model": "x"}, "model", "INVALID_ARGUMENT"),
        ({"instances": []}, "instances", "BATCH_EMPTY"),
        ({"instances": texts("a", "a", "a", "a")}, "instances", "BATCH_TOO_LARGE"),
        ({"instances": texts("a", "b", " ")}, "instances[2].text", "TEXT_EMPTY"),
        ({"instances": texts("a", "")}, "instances[1].text", "TEXT_EMPTY"),
        ({"instances": texts("a" * 65)}, "instances[0].text", "TEXT_TOO_LONG"),
        ({"top_k": -1}, "top_k", "TOP_K"),
        ({"threshold": float("nan")}, "threshold", "THRESHOLD"),
        ({"routing_key": "k" * 129}, "routing_key", "INVALID_ARGUMENT"),
        ({"instances": [Instance(Pair("a", ""))]}, "instances[0].pair.second", "TEXT_EMPTY"),
        ({"instances": [Instance(QuestionContext("", "b"))]}, "instances[0].question_context.question", "TEXT_EMPTY"),
        ({"instances": [Instance(Query("a", ["b", " "]))]}, "instances[0].query.texts.texts[1]", "TEXT_EMPTY"),
    ],
)
async def test_bad_input_is_refused_before_any_work(
    setting: Setting, changed: dict[str, Any], field: str, reason: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await setting.predictor.predict(replace(CALL, **changed), Deadline(5))
    assert (caught.value.field, caught.value.reason) == (field, reason)
    assert (setting.registry.asked, setting.tokens.calls, setting.hosts.calls) == ([], [], [])
    assert setting.counted("refusals_total", reason=reason) == 1


async def test_another_tokenizer_than_the_bundles_is_refused(setting: Setting) -> None:
    setting.tokens.digest = "e" * 64
    with pytest.raises(FailedPrecondition, match="was trained with the tokenizer"):
        await setting.predictor.predict(CALL, Deadline(5))
    assert setting.hosts.calls == []
    assert setting.counted("refusals_total", reason="SKEW") == 1


@pytest.mark.parametrize("changed", [{"base_digest": "e" * 64}, {"tokenizer_digest": "e" * 64}])
async def test_a_bundle_for_another_base_is_refused(setting: Setting, changed: dict[str, str]) -> None:
    setting.info = replace(setting.info, **changed)  # type: ignore[arg-type]
    with pytest.raises(FailedPrecondition):
        await setting.predictor.predict(CALL, Deadline(5))
    assert setting.tokens.calls == []


@pytest.mark.parametrize(
    ("part", "error", "expected"),
    [
        ("tokens", Unavailable("the tokenization service cannot be reached"), Unavailable),
        ("hosts", Unavailable("Triton cannot be reached"), Unavailable),
        ("hosts", ResourceExhausted("the queue is full"), ResourceExhausted),
        ("hosts", IntegrityError("the bundle is damaged"), IntegrityError),
        ("hosts", NotFound("the bundle is not in the store"), FailedPrecondition),
        ("hosts", InvalidArgument("rows", "too long"), FailedPrecondition),
    ],
)
async def test_a_failing_part_is_told_as_what_it_is(
    setting: Setting, part: str, error: SymbiontError, expected: type[SymbiontError]
) -> None:
    getattr(setting, part).error = error
    with pytest.raises(expected) as caught:
        await setting.predictor.predict(CALL, Deadline(5))
    assert type(caught.value) is expected
    assert str(error) in str(caught.value)
    assert setting.counted("refusals_total", reason=expected.default_reason) == 1
    assert setting.counted("instances_total", base="a" * 12) is None


@pytest.mark.parametrize(("part", "stage"), [("tokens", "tokenize"), ("hosts", "infer")])
async def test_the_deadline_names_the_stage(setting: Setting, part: str, stage: str) -> None:
    getattr(setting, part).seconds = 60
    with pytest.raises(DeadlineExceeded, match=stage):
        await setting.predictor.predict(CALL, Deadline(0.05))
    assert setting.counted("refusals_total", reason="DEADLINE_EXCEEDED") == 1


async def test_a_shadow_with_rows_of_its_own_has_business_fields_encoded_anew(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaled = [NumberField(name="amount", mean=mean, deviation=2.0) for mean in (10.0, 12.0)]
    setting.info = replace(setting.info, fields=(scaled[0],))
    infer, asked = setting.releases.infer_rows, []

    async def infer_rows(served: Served, rows: Any, question: Question, *given: Any, **named: Any) -> Any:
        asked.append(question)
        return await infer(served, rows, question, *given, **named)

    monkeypatch.setattr(setting.releases, "infer_rows", infer_rows)
    call = PredictCall("models/x", [Instance(Text("one"), [("amount", 14.0)])])
    await setting.predictor.predict(call, Deadline(5))
    other = Served(setting.version, replace(setting.info, fields=(scaled[1],)))
    assert asked[0].ask is not None
    await asked[0].ask(other, Deadline(5))
    assert setting.hosts.features == [[[2.0, 0.0]], [[1.0, 0.0]]]


@pytest.mark.parametrize("step", ["open", "answer"])
async def test_the_deadline_bounds_what_catalogues_take(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    async def opened(*_: object) -> Opened:
        return Opened({}, {})

    async def slow(*_: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(setting.matching, "open", opened)
    monkeypatch.setattr(setting.matching, step, slow)
    with pytest.raises(DeadlineExceeded, match="search"):
        await setting.predictor.predict(CALL, Deadline(0.05))
    assert setting.counted("refusals_total", reason="DEADLINE_EXCEEDED") == 1


class WindowedTokens:
    """Words that are numbers, which are their ids; windows of a text that is too long overlap."""

    async def tokenize(self, digest: str, query: TokenQuery, most: int, timeout_s: float) -> Tokens:
        rows, places, of, cut = [], [], [], []
        for index, text in enumerate(query.texts):
            words = text.split()
            ends = np.cumsum([len(word) + 1 for word in words]) - 1
            steps = range(0, len(words) - query.stride, most - query.stride) if query.stride else [0]
            cut.append(query.stride is None and len(words) > most)
            for start in steps:
                own, stop = words[start : start + most], ends[start : start + most].astype(np.int32)
                rows.append(np.array(own, np.int32))
                numbers = np.arange(start, start + len(own), dtype=np.int32)
                begins = stop - np.array(list(map(len, own)), np.int32)
                places.append(Places(np.zeros(len(own), np.int32), numbers, begins, stop))
                of.append(index)
        return Tokens(rows, cut, digest, (), of, places if query.places else ())


class SummingHosts:
    """The second label of a row is the likelier, the larger the sum of its ids."""

    async def ensure_host(self, base_digest: str) -> None:
        """It is there."""

    def __init__(self) -> None:
        self.logits: dict[str, Sequence[float]] = {}
        self.by_token = False

    async def infer_rows(self, base_digest: str, rows: Sequence[Row], **turn: Any) -> HostAnswer:
        times = [len(row.input_ids) if self.by_token else 1 for row in rows]
        values = [np.array([0.0, of_sum(row.input_ids)] * n, np.float32) for row, n in zip(rows, times, strict=True)]
        return HostAnswer(values, Times())


def of_sum(ids: Any) -> float:
    return float(np.tanh(np.sum(ids) / 40))


@pytest.fixture
def windowed(registry: Any, metrics: Any, prometheus: Any, alias: Any, info: BundleInfo, releases_of: Any) -> Setting:
    """Reads eight words at a time; two windows share two of them."""
    head = ClassificationHead(pooling="mean", hidden_size=4, num_labels=2)
    info = replace(info, head=head, labels=("bad", "good"), temperature=1.0, max_tokens=8, windows=True)
    return Setting(registry, WindowedTokens(), SummingHosts(), metrics, prometheus, alias, info, releases_of)


async def test_what_is_explained_is_what_is_predicted_though_a_text_is_read_in_windows(windowed: Setting) -> None:
    # It begins badly and goes on well.
    numbers = [-9] * 8 + [5] * 6
    instances = [Instance(Text(" ".join(map(str, numbers))))]
    (predicted,) = (await windowed.predictor.predict(PredictCall("models/x", instances), Deadline(5))).predictions
    (explained,) = (await windowed.predictor.explain(ExplainCall("models/x", instances), Deadline(5))).explanations
    best = predicted.result.classes[0]
    assert (explained.label, explained.truncated) == (best.label, predicted.truncated) == ("bad", False)
    assert explained.value == pytest.approx(best.probability)
    assert [word.text for word in explained.words] == [str(number) for number in numbers]

    def bad(first: Sequence[int], second: Sequence[int]) -> float:
        return float(1 / (1 + np.exp(np.mean([of_sum(first), of_sum(second)]))))

    first, second = numbers[:8], numbers[6:14]
    assert explained.value == pytest.approx(bad(first, second))
    # One that stands in both is hidden in both.
    expected = [bad(first[1:], second), bad(first[1:], second[1:]), bad(first, second[:-1])]
    falls = [explained.words[place].attribution for place in (0, 6, 13)]
    assert falls == pytest.approx([explained.value - left for left in expected], abs=1e-6)


async def test_an_explanation_that_would_take_too_much_is_refused(
    windowed: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two windows of eight, and each of fourteen words hidden where it stands, two of them twice.
    instances = [Instance(Text(" ".join(["1"] * 14)))]
    monkeypatch.setattr(explaining, "MAX_TOKENS", 2 * 8 + 16 * 8)
    assert await windowed.predictor.explain(ExplainCall("models/x", instances), Deadline(5))
    monkeypatch.setattr(explaining, "MAX_TOKENS", 2 * 8 + 16 * 8 - 1)
    with pytest.raises(InvalidArgument, match="144 tokens") as caught:
        await windowed.predictor.explain(ExplainCall("models/x", instances), Deadline(5))
    assert (caught.value.field, caught.value.reason) == ("instances", "BATCH_TOO_LARGE")


@pytest.fixture
def tagged(windowed: Setting) -> Setting:
    """Gives two values to each token of a text, which is read in windows of eight."""
    head = EntityHead(hidden_size=4, num_labels=2)
    windowed.info = replace(windowed.info, head=head, labels=("O", "B-name"), windows=False)
    windowed.hosts.by_token = True
    return windowed


async def test_what_long_texts_come_to_is_read_where_it_holds_up_nobody(
    tagged: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, read = [], predicting.read

    def noting(*given: Any) -> Any:
        threads.append(threading.current_thread() is threading.main_thread())
        return read(*given)

    monkeypatch.setattr(predicting, "read", noting)
    found = []
    # Two windows of eight tokens have 32 values.
    for most in (31, 32):
        monkeypatch.setattr(predicting, "READ_HERE", most)
        found.append(await tagged.predictor.predict(PredictCall("models/x", texts(" ".join("1" * 14))), Deadline(5)))
    assert threads == [False, True]
    assert found[0].predictions == found[1].predictions


async def test_every_window_counts_among_the_values_of_a_call(tagged: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    call = PredictCall("models/x", texts(" ".join("1" * 14)))
    monkeypatch.setattr(predicting, "MAX_VALUES", 32)
    assert await tagged.predictor.predict(call, Deadline(5))
    monkeypatch.setattr(predicting, "MAX_VALUES", 31)
    with pytest.raises(InvalidArgument, match="32 values") as caught:
        await tagged.predictor.predict(call, Deadline(5))
    assert caught.value.reason == "ANSWER_TOO_LARGE"


async def test_a_later_stage_gets_what_an_earlier_one_left(setting: Setting) -> None:
    setting.tokens.seconds = 0.1
    await setting.predictor.predict(CALL, Deadline(5))
    assert setting.hosts.calls[0][2] <= setting.tokens.calls[0][2] - 0.1
