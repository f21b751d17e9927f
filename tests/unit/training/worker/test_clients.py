"""The worker's lines out, against real servers that come, go and refuse."""

from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from support.waiting import until_sync
from symbiont.api.tokenization.v1 import tokenization_pb2, tokenization_pb2_grpc
from symbiont.api.training.v1 import worker_pb2, worker_pb2_grpc
from symbiont.common.errors import IntegrityError, Unavailable
from symbiont.training.passes import REFUSED
from symbiont.training.spooling import Spool, read_records
from symbiont.training.types import LogLine
from symbiont.training.worker import clients
from symbiont.training.worker.clients import ControllerLink, TokenizationClient
from symbiont.training.worker.commands import Command


class FakeController(worker_pb2_grpc.WorkerServiceServicer):
    """Keeps what it is told; acknowledges while it is told to."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []
        self.acknowledges = True
        self.refuses: grpc.StatusCode | None = None
        self.reason = ""
        self.asked = 0
        self.says: list[worker_pb2.ControllerMessage] = []

    def Report(self, request_iterator: Iterator[worker_pb2.WorkerMessage], context: Any) -> Iterator[Any]:
        self.asked += 1
        yield from self.says
        for message in request_iterator:
            if self.refuses:
                context.abort_with_status(refusal(self.refuses, self.reason))
            self.seen.append((message.WhichOneof("message"), message.seq))
            if message.seq and self.acknowledges:
                yield worker_pb2.ControllerMessage(ack=worker_pb2.Ack(seq=message.seq))


def refusal(code: grpc.StatusCode, reason: str) -> Any:
    """Returns a status as the controller makes it."""
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="symbiont"))
    return rpc_status.to_status(status_pb2.Status(code=code.value[0], message="not taken", details=[detail]))


Start = Callable[[Any], tuple[grpc.Server, int]]


@pytest.fixture
def start() -> Iterator[Start]:
    servers = []

    def start(servicer: Any, port: int = 0) -> tuple[grpc.Server, int]:
        server = grpc.server(futures.ThreadPoolExecutor(4))
        if isinstance(servicer, FakeController):
            worker_pb2_grpc.add_WorkerServiceServicer_to_server(servicer, server)
        else:
            tokenization_pb2_grpc.add_TokenizationServiceServicer_to_server(servicer, server)
        bound = server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
        servers.append(server)
        return server, bound

    yield start
    for server in servers:
        server.stop(0).wait()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "RETRY_SECONDS", 0.02)
    monkeypatch.setattr(clients, "HEARTBEAT_SECONDS", (0.05, 0.06))


def test_reports_arrive_in_order_with_heartbeats_between(start: Start) -> None:
    controller = FakeController()
    link = ControllerLink(f"127.0.0.1:{start(controller)[1]}", "job-x", 1)
    for i in range(20):
        link.send(LogLine(str(i)))
    assert link.drain()
    until_sync(lambda: ("heartbeat", 0) in controller.seen)
    link.close()
    assert controller.seen[0] == ("hello", 0)
    assert [seq for kind, seq in controller.seen if kind == "log_line"] == list(range(1, 21))


def test_what_was_not_acknowledged_is_said_again_after_a_restart(start: Start) -> None:
    controller = FakeController()
    controller.acknowledges = False
    server, port = start(controller)
    link = ControllerLink(f"127.0.0.1:{port}", "job-x", 1)
    for i in range(5):
        link.send(LogLine(str(i)))
    until_sync(lambda: ("log_line", 5) in controller.seen)
    server.stop(0).wait()
    link.send(LogLine("said while nobody listened"))
    second = FakeController()
    start(second, port)  # type: ignore[call-arg]
    assert link.drain()
    link.close()
    assert [seq for kind, seq in second.seen if kind == "log_line"] == [1, 2, 3, 4, 5, 6]


def test_a_refused_attempt_knows_it(start: Start) -> None:
    controller = FakeController()
    controller.refuses = grpc.StatusCode.FAILED_PRECONDITION
    link = ControllerLink(f"127.0.0.1:{start(controller)[1]}", "job-x", 1)
    link.send(LogLine("late"))
    assert not link.drain()
    assert link.fenced.is_set()
    link.close()


def test_a_refused_pass_ends_the_attempt_at_once(start: Start) -> None:
    controller = FakeController()
    controller.refuses, controller.reason = grpc.StatusCode.UNAUTHENTICATED, REFUSED
    link = ControllerLink(f"127.0.0.1:{start(controller)[1]}", "job-x", 1)
    link.send(LogLine("of an attempt that is over"))
    assert not link.drain(30)
    assert link.fenced.is_set()
    link.close()
    assert controller.asked == 1


def test_a_certificate_that_is_over_is_waited_for(start: Start) -> None:
    controller = FakeController()
    controller.refuses, controller.reason = grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"
    link = ControllerLink(f"127.0.0.1:{start(controller)[1]}", "job-x", 1)
    link.send(LogLine("said again with the new one"))
    until_sync(lambda: controller.asked > 2)
    controller.refuses = None
    assert link.drain(30)
    assert not link.fenced.is_set()
    link.close()


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ([{"preempt": worker_pb2.Preempt()}], Command.STOP),
        ([{"preempt": worker_pb2.Preempt()}, {"finish": worker_pb2.Finish()}], Command.FINISH),
        ([{"cancel": worker_pb2.Cancel()}, {"finish": worker_pb2.Finish()}], Command.DROP),
    ],
)
def test_what_the_controller_asks_for_is_heard(start: Start, said: list[dict[str, Any]], heard: Command) -> None:
    controller = FakeController()
    controller.says = [worker_pb2.ControllerMessage(**message) for message in said]
    link = ControllerLink(f"127.0.0.1:{start(controller)[1]}", "job-x", 1)
    assert link.command is Command.GO or link.command is heard
    until_sync(lambda: link.command is heard)
    link.close()


def test_any_of_several_controllers_will_do(start: Start) -> None:
    first, second = FakeController(), FakeController()
    server, port = start(first)
    link = ControllerLink(f"127.0.0.1:{port},127.0.0.1:{start(second)[1]}", "job-x", 1)
    link.send(LogLine("to the first"))
    assert link.drain()
    server.stop(0).wait()
    link.send(LogLine("to the second"))
    assert link.drain(30)
    link.close()
    assert ("log_line", 2) in second.seen


def test_what_was_not_acknowledged_is_left_beside_the_spec(start: Start, tmp_path: Path) -> None:
    controller = FakeController()
    controller.acknowledges = False
    link = ControllerLink(f"127.0.0.1:{start(controller)[1]}", "job-x", 7, Spool(tmp_path / "spool"))
    for i in range(3):
        link.send(LogLine(str(i)))
    until_sync(lambda: ("log_line", 3) in controller.seen)
    link.close()
    left = [worker_pb2.WorkerMessage.FromString(record) for record in read_records(tmp_path / "spool")]
    assert [(m.job, m.attempt, m.seq, m.log_line.text) for m in left] == [
        ("jobs/job-x", 7, i + 1, str(i)) for i in range(3)
    ]


class FakeTokenization(tokenization_pb2_grpc.TokenizationServiceServicer):
    """One id for each character, after a number of failures."""

    def __init__(self, failures: int = 0, digest: str = "") -> None:
        self.failures = failures
        self.digest = digest

    def Tokenize(self, request: tokenization_pb2.TokenizeRequest, context: Any) -> Any:
        if self.failures:
            self.failures -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "starting")
        return tokenization_pb2.TokenizeResponse(
            ids=[ord(c) for text in request.texts for c in text],
            lengths=[len(text) for text in request.texts],
            tokenizer_digest=self.digest or request.tokenizer.removeprefix("tokenizers/"),
        )


def test_texts_become_rows_across_calls(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "TEXTS_PER_CALL", 2)
    client = TokenizationClient(f"127.0.0.1:{start(FakeTokenization(failures=2))[1]}")
    rows = client.tokenize("d", ["a", "bcd", "ef"], 64)
    client.close()
    assert [row.ids.tolist() for row in rows] == [[97], [98, 99, 100], [101, 102]]
    assert [row.text for row in rows] == [0, 1, 2]
    assert all(row.ids.dtype == np.int64 for row in rows)


def test_calls_are_cut_by_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "BYTES_PER_CALL", 7)
    assert list(clients.parts(["你好", "a", "bb", "x" * 20, "c"])) == [["你好", "a"], ["bb"], ["x" * 20], ["c"]]
    assert list(clients.parts([])) == []


def test_a_message_that_cannot_be_taken_ends_the_attempt(start: Start) -> None:
    controller = FakeController()
    controller.refuses = grpc.StatusCode.RESOURCE_EXHAUSTED
    link = ControllerLink(f"127.0.0.1:{start(controller)[1]}", "job-x", 1)
    link.send(LogLine("too much"))
    assert not link.drain(30)
    assert link.fenced.is_set()
    link.close()


def test_another_tokenizer_is_refused(start: Start) -> None:
    client = TokenizationClient(f"127.0.0.1:{start(FakeTokenization(digest='other'))[1]}")
    with pytest.raises(IntegrityError, match="asked for tokenizer d, other answered"):
        client.tokenize("d", ["a"], 64)
    client.close()


def test_patience_has_an_end() -> None:
    client = TokenizationClient("127.0.0.1:1", patience_seconds=0.1)
    with pytest.raises(Unavailable, match="stays away"):
        client.tokenize("d", ["a"], 64)
    client.close()
