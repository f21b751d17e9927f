"""The worker's two lines out: reports to the controller, texts to the tokenization service."""

import os
import random
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any

import grpc
import numpy as np
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status
from opentelemetry.trace import SpanKind

from symbiont.api.tokenization.v1 import tokenization_pb2, tokenization_pb2_grpc
from symbiont.api.training.v1 import worker_pb2, worker_pb2_grpc
from symbiont.common.channel import OPTIONS
from symbiont.common.errors import IntegrityError, Unavailable
from symbiont.common.security.channels import plain_channel
from symbiont.common.security.files import Tls
from symbiont.common.tracing import outgoing, span
from symbiont.training.convert import report_to_proto
from symbiont.training.passes import METADATA_KEY, REFUSED
from symbiont.training.spooling import Spool
from symbiont.training.types import Heartbeat, Hello, Report, WorkerReport
from symbiont.training.worker.commands import Command
from symbiont.training.worker.examples import Encoded

# Between two heartbeats, at random: workers that begin together, as after a restart of the controller, drift apart.
HEARTBEAT_SECONDS = (3.0, 5.0)
RETRY_SECONDS = 0.5
TEXTS_PER_CALL = 512
# Well under what a service takes in one message.
BYTES_PER_CALL = 4 << 20
# Saying it again would not help: another attempt has taken over, or the message cannot be taken.
REFUSALS = (
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.PERMISSION_DENIED,
)
COMMANDS = {"preempt": Command.STOP, "finish": Command.FINISH, "cancel": Command.DROP}
# The service is away, or has more to do than it can: it passes.
BUSY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED)


class ControllerLink:
    """Sends every report at least once, in order, whatever happens to the controllers in between.

    Reports wait in a spool until they are acknowledged: while the link is down training goes on and they pile up there.
    """

    def __init__(
        self,
        addresses: str,
        job: str,
        attempt: int,
        spool: Spool | None = None,
        tls: Tls | None = None,
        worker_pass: str = "",
    ) -> None:
        """`addresses` are those of the controllers, `host:port` with commas between; any of them will do."""
        self._job = job
        self._attempt = attempt
        self._channels = [plain_channel(address, OPTIONS, tls) for address in addresses.split(",")]
        self._shown = ((METADATA_KEY, worker_pass),) if worker_pass else ()
        # An empty one is false.
        self._spool = Spool() if spool is None else spool
        self._seq = 0
        self._changed = threading.Condition()
        self._closing = False
        self._asked = Command.GO
        self._instance = uuid.uuid4().hex
        # Set when a controller refuses this attempt: another one has taken its place.
        self.fenced = threading.Event()
        # Its own: what the training draws must not depend on it.
        self._chance = random.Random()  # noqa: S311
        self._thread = threading.Thread(target=self._run, name="controller-link", daemon=True)
        self._thread.start()

    @property
    def command(self) -> Command:
        """What the controller asks for."""
        return self._asked

    def send(self, report: Report) -> None:
        """Queues a report; returns at once."""
        with self._changed:
            self._seq += 1
            message = report_to_proto(WorkerReport(self._job, self._attempt, self._seq, report))
            self._spool.append(self._seq, message.SerializeToString())
            self._changed.notify_all()

    def drain(self, seconds: float | None = None) -> bool:
        """Waits until every report is acknowledged; False if the attempt is refused, or the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: not self._spool or self.fenced.is_set(), seconds)
            return not self._spool

    def close(self) -> None:
        """Ends the stream; what is not acknowledged stays in the spool."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout=5)
        for channel in self._channels:
            channel.close()
        self._spool.close()

    def _run(self) -> None:
        for channel in cycle(self._channels):
            if self._closing or self.fenced.is_set():
                return
            try:
                for answer in worker_pb2_grpc.WorkerServiceStub(channel).Report(self._messages(), metadata=self._shown):
                    self._take(answer)
            except grpc.RpcError as exc:
                self._judge(exc)
            if not self._closing:
                time.sleep(RETRY_SECONDS)

    def _judge(self, error: Any) -> None:
        # Anything else is the link's trouble, or the controller's: it passes. So does UNAUTHENTICATED where it is about
        # the worker's certificate, which may have a new one by the next try; of a pass there is no other.
        if error.code() in REFUSALS or _reason(error) == REFUSED:
            with self._changed:
                self.fenced.set()
                self._changed.notify_all()

    def _messages(self) -> Iterator[worker_pb2.WorkerMessage]:
        """Yields Hello, then everything not acknowledged, then what comes, with heartbeats in between."""
        yield self._unnumbered(Hello(os.getpid(), self._instance))
        sent = 0
        while True:
            with self._changed:
                waiting = self._wait_after(sent)
                if self._closing:
                    return
            if waiting is None:
                yield self._unnumbered(Heartbeat())
            else:
                sent, record = waiting
                yield worker_pb2.WorkerMessage.FromString(record)

    def _wait_after(self, seq: int) -> tuple[int, bytes] | None:
        """Returns the first report after a number, or None when it is time for a heartbeat, or to end."""
        has_next = lambda: self._closing or self._spool.last > seq  # noqa: E731
        self._changed.wait_for(has_next, self._chance.uniform(*HEARTBEAT_SECONDS))
        return self._spool.first_after(seq)

    def _unnumbered(self, report: Report) -> worker_pb2.WorkerMessage:
        return report_to_proto(WorkerReport(self._job, self._attempt, 0, report))

    def _take(self, answer: worker_pb2.ControllerMessage) -> None:
        kind = answer.WhichOneof("message")
        if kind == "ack":
            with self._changed:
                self._spool.drop(answer.ack.seq)
                self._changed.notify_all()
        elif kind in COMMANDS:
            self._asked = max(self._asked, COMMANDS[kind])


def _reason(error: Any) -> str:
    """Returns the reason that a status has in its details; empty where it has none."""
    try:
        status = rpc_status.from_call(error)
    except ValueError:
        # What stands between may have rewritten the code or the text.
        return ""
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status else ():
        detail.Unpack(info)
    return str(info.reason)


def parts(texts: Sequence[str]) -> Iterator[list[str]]:
    """Cuts texts into calls, by number and by bytes; a text alone may be over the bytes."""
    for bounds in spread([len(text.encode()) for text in texts]):
        yield list(texts[bounds])


def spread(sizes: Sequence[int]) -> Iterator[slice]:
    """Cuts texts of so many bytes into calls, by number and by bytes; a text alone may be over the bytes."""
    first = size = 0
    for number, length in enumerate(sizes):
        if number > first and (number - first == TEXTS_PER_CALL or size + length > BYTES_PER_CALL):
            yield slice(first, number)
            first, size = number, 0
        size += length
    if first < len(sizes):
        yield slice(first, len(sizes))


PLACES = (
    tokenization_pb2.OUTPUT_SEQUENCE_IDS,
    tokenization_pb2.OUTPUT_WORD_IDS,
    tokenization_pb2.OUTPUT_OFFSETS,
)


_TOKENIZE = "symbiont.tokenization.v1.TokenizationService/Tokenize"


class TokenizationClient:
    """Tokenizes for the worker; waits for the service while it is away."""

    def __init__(self, address: str, patience_seconds: float = 300, tls: Tls | None = None) -> None:
        self._address = address
        self._patience_seconds = patience_seconds
        self._channel = plain_channel(address, OPTIONS, tls)
        self._stub = tokenization_pb2_grpc.TokenizationServiceStub(self._channel)

    def tokenize(
        self,
        digest: str,
        texts: Sequence[str],
        max_tokens: int,
        *,
        pairs: Sequence[str] = (),
        stride: int | None = None,
        places: bool = False,
    ) -> "list[Encoded]":
        """As `Tokenize` says.

        Raises:
            Unavailable: the service stayed away longer than the patience.
            IntegrityError: it answered with another tokenizer.
        """
        encoded: list[Encoded] = []
        sizes = [len(text.encode()) for text in texts]
        for number, pair in enumerate(pairs):
            sizes[number] += len(pair.encode())
        for part in spread(sizes):
            request = tokenization_pb2.TokenizeRequest(
                tokenizer=f"tokenizers/{digest}", texts=texts[part], pair_texts=pairs[part], max_tokens=max_tokens
            )
            if pairs:
                request.options.outputs.append(tokenization_pb2.OUTPUT_TYPE_IDS)
            if places:
                request.options.outputs.extend(PLACES)
            if stride is not None:
                request.options.windows.stride = stride
                if pairs:
                    request.options.truncation = tokenization_pb2.TRUNCATION_ONLY_SECOND
            response = self._call(request)
            if response.tokenizer_digest != digest:
                raise IntegrityError(f"asked for tokenizer {digest}, {response.tokenizer_digest} answered")
            encoded += encoded_from_proto(response, part.start)
        return encoded

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

    def _call(self, request: tokenization_pb2.TokenizeRequest) -> tokenization_pb2.TokenizeResponse:
        deadline = time.monotonic() + self._patience_seconds
        while True:
            try:
                with span(_TOKENIZE, SpanKind.CLIENT):
                    return self._stub.Tokenize(request, timeout=60, metadata=tuple(outgoing().items()))
            except grpc.RpcError as exc:
                error: Any = exc
                if error.code() not in BUSY:
                    raise
                if time.monotonic() > deadline:
                    raise Unavailable(f"the tokenization service at {self._address} stays away") from exc
                time.sleep(RETRY_SECONDS)


def encoded_from_proto(response: tokenization_pb2.TokenizeResponse, first_text: int = 0) -> list[Encoded]:
    """Reads a response: cuts its packed arrays into rows; `first_text` is the index of the first text of the call."""
    bounds = np.cumsum(response.lengths)[:-1]
    ids = np.split(np.array(response.ids, np.int64), bounds)
    texts = list(response.text_indices) or range(len(ids))
    starts = [0] * len(ids)
    if response.type_ids:
        # argmax gives the first 1, and 0 where there is none.
        starts = [int((row > 0).argmax()) for row in np.split(np.array(response.type_ids, np.int64), bounds)]
    if not response.sequence_ids:
        return [Encoded(row, first_text + text, start) for row, text, start in zip(ids, texts, starts, strict=True)]
    packed = (response.sequence_ids, response.word_ids, response.starts, response.ends)
    places = [np.split(np.array(values, np.int64), bounds) for values in packed]
    rows = zip(ids, texts, starts, *places, strict=True)
    return [Encoded(row, first_text + text, start, *where) for row, text, start, *where in rows]
