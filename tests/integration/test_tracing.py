"""One trace from the caller to Triton and back, and from the controller to its worker: real processes, real spans."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

from support.collector import Collected, Collector
from support.traced_suite import HOPS, LABEL, MODEL, PREDICT, TOKENIZE, Traced, calling, has_triton, traced_suite, whole
from support.waiting import until_sync
from symbiont.client import Client, InvalidArgumentError

CANARY = "canary-5d41402abc"
UNKEPT = SpanContext(0xABCDEF, 0xABC, is_remote=False, trace_flags=TraceFlags(TraceFlags.DEFAULT))


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    with traced_suite(tmp_path_factory.mktemp("suite"), sample_ratio=1) as traced:
        yield traced


@pytest.fixture
def client(suite: Traced) -> Iterator[Client]:
    with calling(suite) as found:
        yield found


def new_traces(collector: Collector, before: int, count: int) -> list[Sequence[Collected]]:
    until_sync(lambda: len(collector.calls) == before + count)
    return [whole(collector, span.trace) for span in collector.calls[before:]]


def sent(span: Collected) -> float:
    """Returns when a span's answer was ready: Triton goes on for a moment after its caller has it."""
    ready = [e.time_unix_nano / 1e9 for e in span.message.events if e.name == "INFER_RESPONSE_COMPLETE"]
    return min(ready, default=span.end)


def test_a_predict_is_one_trace_with_a_span_of_every_hop(suite: Traced, client: Client) -> None:
    for _ in range(5):
        before = len(suite.collector.calls)
        client.predict(MODEL, ["one text", "and another"])
        (trace,) = new_traces(suite.collector, before, 1)
        if has_triton(trace):
            break
    by_id = {span.id: span for span in trace}
    for service, name, parent in HOPS:
        (span,) = (s for s in trace if (s.service, s.name) == (service, name))
        above = by_id.get(span.parent)
        assert (above and (above.service, above.name)) == parent
    (host,) = (s for s in trace if s.name == "host")
    assert host.attributes["symbiont.rows"] == 2
    assert {span.attributes.get("rpc.grpc.status_code", 0) for span in trace} == {0}


def test_children_lie_within_their_parents_and_the_parts_add_up(suite: Traced, client: Client) -> None:
    before = len(suite.collector.calls)
    for number in range(10):
        client.predict(MODEL, [f"text number {number}"])
    stages, inference = [], []
    traces = new_traces(suite.collector, before, 10)
    assert sum(map(has_triton, traces)) >= 5
    for trace in traces:
        by_id = {span.id: span for span in trace}
        for span in (s for s in trace if (s.parent and s.service != "triton") or s.name == "InferRequest"):
            parent = by_id[span.parent]
            assert parent.begin <= span.begin
            assert sent(span) <= parent.end
        stages.append(covered(trace, PREDICT, ["resolve", "tokenize", "infer"]))
        inference.append(covered(trace, "infer", ["queue", "host"]))
    # Between the stages there is only what the process does meanwhile: in an undisturbed call, little.
    assert max(stages) > 0.8
    assert max(inference) > 0.8


def covered(trace: Sequence[Collected], name: str, parts: list[str]) -> float:
    """Returns how much of a span its parts are, which come one after the other."""
    (span,) = (s for s in trace if s.name == name and s.service == "inference")
    found = [s for s in trace if s.parent == span.id]
    assert [s.name for s in found] == parts
    assert all(earlier.end <= later.begin for earlier, later in pairwise(found))
    return sum(s.end - s.begin for s in found) / (span.end - span.begin)


def test_calls_that_share_work_are_linked(suite: Traced, client: Client) -> None:
    def shared(name: str) -> list[Collected]:
        return [s for s in suite.collector.spans if s.name == name and s.links]

    def with_triton() -> list[Collected]:
        children = {span.parent for span in suite.collector.spans if span.service == "triton"}
        return [span for span in shared("host") if span.id in children]

    with ThreadPoolExecutor(16) as pool:

        def ask_together() -> bool:
            before = len(suite.collector.calls)
            list(pool.map(lambda number: client.predict(MODEL, [f"text {number}"]), range(16)))
            for trace in [span.trace for span in suite.collector.calls[before:]]:
                until_sync(lambda trace=trace: PREDICT in {s.name for s in suite.collector.trace(trace)})
            return bool(with_triton() and shared("tokens"))

        until_sync(ask_together, 60)
    spans = {(span.trace, span.id): span for span in suite.collector.spans}
    for span in [*shared("host"), *shared("tokens")]:
        for link in span.links:
            other = spans[link]
            assert other.name == span.name
            assert other.trace != span.trace
            assert (span.trace, span.id) in other.links or len(span.links) > 1
    # Triton's own spans are in one of the traces, to which the others lead.
    first = with_triton()[0]
    assert first.attributes["symbiont.calls"] == len(first.links) + 1


def test_a_trace_that_the_caller_does_not_keep_is_kept_nowhere(suite: Traced, client: Client) -> None:
    with calling(suite, ALWAYS_OFF) as unkept, use_span(NonRecordingSpan(UNKEPT)):
        unkept.predict(MODEL, ["nobody looks"])
    before = len(suite.collector.calls)
    # Whatever was sent of the former would have come before the latter, as from the same processes.
    client.predict(MODEL, ["somebody looks"])
    new_traces(suite.collector, before, 1)
    assert not suite.collector.trace(f"{UNKEPT.trace_id:032x}")
    # Nor was it taken for a trace that begins there, but for the one call whose caller had no tracer.
    assert [s.name for s in suite.collector.spans if not s.parent and s.name in (PREDICT, "InferRequest")] == [PREDICT]


def test_texts_and_labels_are_in_no_span(suite: Traced, client: Client) -> None:
    before = len(suite.collector.calls)
    answer = client.predict(MODEL, [f"{CANARY} is what I say"])
    with pytest.raises(InvalidArgumentError):
        client.predict(MODEL, [f"{CANARY} " * 40_000])
    with pytest.raises(InvalidArgumentError):
        client.predict(f"{CANARY} is no name", ["text"])
    until_sync(lambda: len(suite.collector.calls) == before + 3)
    whole(suite.collector, suite.collector.calls[before].trace)
    refused = suite.collector.calls[before + 1 :]
    until_sync(lambda: all(any(s.service == "inference" for s in suite.collector.trace(r.trace)) for r in refused))
    raw = suite.collector.raw
    assert CANARY.encode() not in raw
    assert answer.predictions[0].label.startswith(LABEL)
    assert LABEL.encode() not in raw


def test_a_worker_is_in_the_trace_of_its_launch(suite: Traced) -> None:
    until_sync(lambda: any(s.service == "worker" and s.name == "attempt" for s in suite.collector.spans))
    (attempt,) = (s for s in suite.collector.spans if s.name == "attempt")
    until_sync(lambda: {"launch", "attempt", TOKENIZE} <= {s.name for s in suite.collector.trace(attempt.trace)})
    trace = suite.collector.trace(attempt.trace)
    by_id = {span.id: span for span in trace}
    assert by_id[attempt.parent].service == "training"
    assert by_id[attempt.parent].name == "launch"
    assert attempt.attributes["symbiont.job"] == suite.job
    stages = [s.name for s in trace if s.parent == attempt.id and s.name != TOKENIZE]
    assert stages == ["train", "evaluate"]
    served = [s for s in trace if s.service == "tokenization"]
    assert served
    assert all(by_id[s.parent].service == "worker" for s in served)
