"""Every RPC gets an id, is counted, and ends in a status that says no more than it should."""

import asyncio
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prometheus_client.openmetrics.exposition import generate_latest

from support.waiting import until
from symbiont.api.training.v1 import model_pb2
from symbiont.common import errors
from symbiont.common.calls import STATUS_OF, status_code
from symbiont.common.request_id import add_request, current_request_id

REQUEST = model_pb2.GetModelRequest(name="models/x")


def raising(error: Exception) -> Any:
    async def act(request: Any, context: Any) -> None:
        raise error

    return act


def sample(peer: Any, name: str, **labels: str) -> float:
    return peer.metrics.registry.get_sample_value(name, {"service": "training", **labels}) or 0.0


def test_a_subclass_takes_the_status_of_its_nearest_ancestor() -> None:
    class Gone(errors.NotFound):
        pass

    assert status_code(Gone("x")) is grpc.StatusCode.NOT_FOUND


def test_every_domain_error_has_a_status() -> None:
    def below(cls: type) -> set[type]:
        return {cls}.union(*(below(sub) for sub in cls.__subclasses__()))

    ours = {cls for cls in below(errors.SymbiontError) if cls.__module__ == errors.__name__}
    assert ours == set(STATUS_OF)


@pytest.mark.parametrize(
    ("error", "code", "reason", "field"),
    [
        (errors.InvalidArgument("spec.rank", "-1 is negative"), "INVALID_ARGUMENT", "INVALID_ARGUMENT", "spec.rank"),
        (errors.InvalidArgument("a", "b", reason="TOO_LONG"), "INVALID_ARGUMENT", "TOO_LONG", "a"),
        (errors.NotFound("models/x does not exist"), "NOT_FOUND", "NOT_FOUND", None),
        (errors.NotFound("it does not exist", field="model"), "NOT_FOUND", "NOT_FOUND", "model"),
        (errors.AlreadyExists("taken"), "ALREADY_EXISTS", "ALREADY_EXISTS", None),
        (errors.FailedPrecondition("not yet"), "FAILED_PRECONDITION", "FAILED_PRECONDITION", None),
        (errors.ResourceExhausted("full"), "RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED", None),
        (errors.Unavailable("away"), "UNAVAILABLE", "UNAVAILABLE", None),
        (errors.DeadlineExceeded("late"), "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", None),
        (errors.IntegrityError("damaged"), "FAILED_PRECONDITION", "INTEGRITY", None),
    ],
)
async def test_a_domain_error_becomes_a_status_with_details(
    peer: Any, error: errors.SymbiontError, code: str, reason: str, field: str | None
) -> None:
    peer.servicer.act = raising(error)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await peer.stub.GetModel(REQUEST)
    assert caught.value.code().name == code
    assert caught.value.details() == str(error)
    status = rpc_status.from_call(caught.value)
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == (reason, "symbiont")
    named = len(status.details) > 1 and status.details[1].Unpack(request) and request.field_violations[0].field
    assert named == (field or False)


@pytest.mark.parametrize("letter", ["x", "订", "\n"])
async def test_a_text_that_no_trailer_takes_is_cut(peer: Any, letter: str) -> None:
    """Whole, it would be lost, and with it the status: the caller would read RESOURCE_EXHAUSTED and try again."""
    peer.servicer.act = raising(errors.InvalidArgument("model", letter * 100_000))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await peer.stub.GetModel(REQUEST, metadata=(("x-request-id", "i" * 128),))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    told = caught.value.details()
    assert told.startswith(f"model: {letter}")
    assert told.endswith(f"{letter}…")
    assert rpc_status.from_call(caught.value).message == told
    # What is above this gRPC drops at random, and from twice as much always.
    fields = [("grpc-message", told.encode() * 3), *caught.value.trailing_metadata()]
    assert sum(32 + len(key) + len(value) * 4 / 3 for key, value in fields) < 8 << 10


async def test_a_full_service_says_when_to_come_back(peer: Any) -> None:
    peer.servicer.act = raising(errors.ResourceExhausted("full", retry_after_s=1.5))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await peer.stub.GetModel(REQUEST)
    assert dict(caught.value.trailing_metadata())["grpc-retry-pushback-ms"] == "1500"
    told = error_details_pb2.RetryInfo()
    assert rpc_status.from_call(caught.value).details[1].Unpack(told)
    assert told.retry_delay.ToMilliseconds() == 1500


async def test_an_unknown_error_tells_the_caller_only_where_to_look(peer: Any) -> None:
    peer.servicer.act = raising(RuntimeError("the password is hunter2"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await peer.stub.GetModel(REQUEST, metadata=(("x-request-id", "abc"),))
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert caught.value.details() == "internal error; the log has it under request id abc"


async def test_an_abort_of_the_servicer_passes(peer: Any) -> None:
    async def act(request: Any, context: Any) -> None:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not here")

    peer.servicer.act = act
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await peer.stub.GetModel(REQUEST)
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.UNIMPLEMENTED, "not here")


@pytest.mark.parametrize(("sent", "kept"), [("caller-1", True), ("", False), ("with space", False), ("x" * 129, False)])
async def test_a_well_formed_request_id_is_kept_and_any_other_replaced(peer: Any, sent: str, kept: bool) -> None:
    seen: list[str] = []

    async def act(request: Any, context: Any) -> None:
        seen.append(current_request_id())

    peer.servicer.act = act
    call = peer.stub.GetModel(REQUEST, metadata=(("x-request-id", sent),))
    await call
    assert dict(await call.trailing_metadata())["x-request-id"] == seen[0]
    assert (seen[0] == sent) is kept
    assert seen[0]


async def test_a_failed_call_sends_its_request_id_back_too(peer: Any) -> None:
    peer.servicer.act = raising(errors.NotFound("x"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await peer.stub.GetModel(REQUEST, metadata=(("x-request-id", "abc"),))
    assert dict(caught.value.trailing_metadata())["x-request-id"] == "abc"


async def test_rpcs_are_counted_by_method_and_status(peer: Any) -> None:
    async def act(request: Any, context: Any) -> None:
        assert sample(peer, "symbiont_rpc_in_flight", rpc="GetModel") == 1

    peer.servicer.act = act
    for _ in range(3):
        await peer.stub.GetModel(REQUEST)
    peer.servicer.act = raising(errors.NotFound("x"))
    with pytest.raises(grpc.aio.AioRpcError):
        await peer.stub.GetModel(REQUEST)
    # The caller may hear of a failure before it is counted.
    await until(lambda: sample(peer, "symbiont_rpc_in_flight", rpc="GetModel") == 0)
    assert sample(peer, "symbiont_rpc_started_total", rpc="GetModel") == 4
    assert sample(peer, "symbiont_rpc_seconds_count", rpc="GetModel", code="OK") == 3
    assert sample(peer, "symbiont_rpc_seconds_count", rpc="GetModel", code="NOT_FOUND") == 1


async def test_a_stream_that_fails_half_way_gives_what_it_had_and_a_status(peer: Any) -> None:
    peer.servicer.act = raising(errors.Unavailable("the registry restarts"))
    call = peer.stub.WatchModelAliases(model_pb2.WatchModelAliasesRequest())
    assert (await call.read()).complete
    with pytest.raises(grpc.aio.AioRpcError, match="the registry restarts"):
        await call.read()
    assert await call.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_cancelled_call_is_counted_as_cancelled(peer: Any) -> None:
    entered = asyncio.Event()

    async def act(request: Any, context: Any) -> None:
        entered.set()
        await asyncio.sleep(60)

    peer.servicer.act = act
    call = peer.stub.GetModel(REQUEST)
    waiting = asyncio.create_task(call.code())
    await entered.wait()
    call.cancel()
    assert await waiting is grpc.StatusCode.CANCELLED
    for _ in range(100):
        if sample(peer, "symbiont_rpc_seconds_count", rpc="GetModel", code="CANCELLED") == 1:
            break
        await asyncio.sleep(0.01)
    assert sample(peer, "symbiont_rpc_seconds_count", rpc="GetModel", code="CANCELLED") == 1
    assert sample(peer, "symbiont_rpc_in_flight", rpc="GetModel") == 0


async def test_a_log_line_says_which_request_it_is_of(peer: Any) -> None:
    lines: list[dict[str, Any]] = []

    async def act(request: Any, context: Any) -> None:
        lines.append(dict(add_request(None, "info", {"event": "x"})))

    peer.servicer.act = act
    await peer.stub.GetModel(REQUEST, metadata=(("x-request-id", "abc"),))
    assert lines == [{"event": "x", "request_id": "abc", "rpc": "/symbiont.training.v1.ModelService/GetModel"}]
    assert add_request(None, "info", {"event": "x"}) == {"event": "x"}


async def test_a_stream_that_its_caller_leaves_is_closed_and_counted(peer: Any) -> None:
    async def act(request: Any, context: Any) -> None:
        await asyncio.sleep(60)

    peer.servicer.act = act
    call = peer.stub.WatchModelAliases(model_pb2.WatchModelAliasesRequest())
    assert (await call.read()).complete
    call.cancel()
    await until(lambda: sample(peer, "symbiont_rpc_seconds_count", rpc="WatchModelAliases", code="CANCELLED") == 1)
    assert sample(peer, "symbiont_rpc_in_flight", rpc="WatchModelAliases") == 0


async def test_a_recorded_trace_is_left_at_the_time_of_its_call(peer: Any) -> None:
    async def act(request: Any, context: Any) -> None:
        pass

    peer.servicer.act, trace = act, "4bf92f3577b34da6a3ce929d0e0e4736"
    await peer.stub.GetModel(REQUEST, metadata=(("traceparent", f"00-{trace}-00f067aa0ba902b7-01"),))
    text = generate_latest(peer.metrics.registry).decode()
    (line,) = (line for line in text.splitlines() if trace in line)
    assert line.startswith("symbiont_rpc_seconds_bucket{")
    assert f'# {{trace_id="{trace}"}}' in line


@pytest.mark.parametrize(
    ("field", "place"),
    [
        ("spec.rank", "spec.rank"),
        ("instances[12].text", "instances[12].text"),
        ("parameters['my secret'].value", "parameters[*]"),
        ("inputs[3].parameters['a]b[4]']", "inputs[3].parameters[*]"),
        (None, None),
    ],
)
def test_a_log_has_the_field_without_keys_that_a_caller_chose(field: str | None, place: str | None) -> None:
    assert errors.NotFound("gone", field=field).place == place
