"""Processes that die, hang or crawl, under `up`: clear statuses, all comes back by itself, nothing stored is lost."""

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.hanging import family, hung, slow
from support.waiting import until_sync
from symbiont.client import (
    Client,
    DeadlineExceededError,
    FailedPreconditionError,
    Predictions,
    ResourceExhaustedError,
    UnavailableError,
)
from symbiont.client.channels import Limits
from symbiont.common.health import LIVE

from .conftest import Suite

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
# What a call may end in while a part is away: it cannot be reached, is too late, or there are too many before it.
FAILURES = (UnavailableError, DeadlineExceededError, ResourceExhaustedError)

SENTIMENT, CLASSIFIER = "models/sentiment@production", "models/classifier@production"
TEXT = "A film that I would gladly see again."
TEXTS = [TEXT, "A waste of an evening.", "So so.", "The plot, " * 20]
# Rows of a batch answer as alone within 1e-5.
TOLERANCE = 2e-5


@pytest.fixture
def hasty(suite: Suite) -> Client:
    """A client that shows the first failure instead of trying again."""
    return Client(suite.endpoints, Limits(patience=0, watch_patience=60), credentials=suite.credentials)


def stored(suite: Suite) -> tuple[object, ...]:
    """Returns what the registry holds."""
    client = suite.client
    return (
        list(client.list_base_models()),
        list(client.list_datasets()),
        list(client.list_training_jobs()),
        list(client.list_models()),
    )


def kill(suite: Suite, name: str) -> int:
    """Kills a process of the suite; returns its process id."""
    pid = suite.pid(name)
    os.kill(pid, signal.SIGKILL)
    return pid


def first_failure(call: Callable[[], object]) -> UnavailableError:
    """Calls until the death is felt; it must be felt as UNAVAILABLE."""
    for _ in range(1000):
        try:
            call()
        except UnavailableError as exc:
            return exc
    raise AssertionError("nothing failed")


def is_back(suite: Suite, name: str, old: int) -> bool:
    """Whether another process serves under the name."""
    return any(
        s.name == name and s.state == "ready" and s.process and s.process.pid != old for s in suite.stack.snapshot()
    )


@pytest.mark.parametrize("name", ["triton", "tokenization"])
def test_a_part_of_inference_dies(suite: Suite, hasty: Client, name: str) -> None:
    expected, before = suite.client.predict("sentiment", [TEXT]), stored(suite)
    old = kill(suite, name)
    assert name in first_failure(lambda: hasty.predict("sentiment", [TEXT])).message.lower()
    until_sync(lambda: health(suite, SENTIMENT) == NOT_SERVING)
    # Without tokens no text is answered; Triton is a matter of each model, and no reason to restart this process.
    assert health(suite, "") == (SERVING if name == "triton" else NOT_SERVING)
    assert health(suite, LIVE) == SERVING
    until_sync(lambda: is_back(suite, name, old), 60)
    until_sync(lambda: answers(hasty), 60)
    until_sync(lambda: health(suite, SENTIMENT) == health(suite, "") == SERVING)
    again = suite.client.predict("sentiment", [TEXT])
    assert again.bundle_digest == expected.bundle_digest
    assert again.predictions[0].probability == pytest.approx(expected.predictions[0].probability, abs=1e-6)
    assert stored(suite) == before


def answers(client: Client) -> bool:
    """Whether a prediction succeeds now; any failure but UNAVAILABLE fails the test."""
    try:
        return bool(client.predict("sentiment", [TEXT]).predictions)
    except UnavailableError:
        return False


def tree(suite: Suite) -> list[int]:
    """Returns the process ids of Triton, its children last."""
    return family(suite.pid("triton"))


def health(suite: Suite, name: str) -> int:
    """Returns what inference says of a model."""
    with closing(suite.channel("inference")) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        return stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=60).status


def same(suite: Suite, client: Client, expected: Predictions, text: str = TEXT) -> bool:
    """Whether the same text is answered now; any answer must be the same, and any failure one of time or reach."""
    try:
        again = client.predict("sentiment", [text])
    except FAILURES:
        return False
    (got,), (healthy,) = again.predictions, expected.predictions
    assert (again.bundle_digest, got.label) == (expected.bundle_digest, healthy.label)
    assert got.probability == pytest.approx(healthy.probability, abs=TOLERANCE)
    return True


def test_a_triton_that_hangs_costs_no_call_more_than_its_deadline(suite: Suite) -> None:
    """The calls end by their own deadlines, the model's health tells, and all goes on when it is over."""
    expected = suite.client.predict("sentiment", [TEXT])
    brief = Client(suite.endpoints, Limits(timeout=1.0, patience=0), credentials=suite.credentials)
    with hung(tree(suite)):
        for _ in range(6):
            with pytest.raises(FAILURES):
                brief.predict("sentiment", [TEXT])
        until_sync(lambda: health(suite, "models/sentiment@production") == NOT_SERVING, 30)
        # The service itself is well, and says so.
        assert health(suite, "") == SERVING
    until_sync(lambda: same(suite, brief, expected), 60)
    until_sync(lambda: health(suite, "models/sentiment@production") == SERVING, 60)


@pytest.mark.slow
def test_a_host_that_hangs_is_replaced_while_it_does(suite: Suite) -> None:
    """A call fails by its deadline or is answered rightly; another host answers before the first one can."""
    expected = suite.client.predict("sentiment", [TEXT])
    brief = Client(suite.endpoints, Limits(timeout=1.0, patience=0), credentials=suite.credentials)
    _, *hosts = tree(suite)
    with hung(hosts):
        with pytest.raises(FAILURES):
            brief.predict("sentiment", [TEXT])
        until_sync(lambda: same(suite, brief, expected), 60)
        assert health(suite, "") == SERVING
    until_sync(lambda: same(suite, brief, expected), 60)
    until_sync(lambda: health(suite, "models/sentiment@production") == SERVING, 60)


@pytest.mark.slow
def test_a_triton_that_is_slow_gives_no_wrong_answer(suite: Suite) -> None:
    """Asked all the time by callers with different texts, so that an answer to another's question would show."""
    expected = {text: suite.client.predict("sentiment", [text]) for text in TEXTS}
    brief = Client(suite.endpoints, Limits(timeout=1.0, patience=0), credentials=suite.credentials)
    end = time.monotonic() + 4

    def ask(text: str) -> int:
        answered = 0
        while time.monotonic() < end:
            answered += same(suite, brief, expected[text], text)
        return answered

    with slow(tree(suite)), ThreadPoolExecutor() as pool:
        answered = list(pool.map(ask, TEXTS))
    assert sum(answered) > 0
    until_sync(lambda: health(suite, "models/sentiment@production") == SERVING, 60)
    until_sync(lambda: all(same(suite, brief, expected[text], text) for text in TEXTS), 60)


def test_a_bundle_that_is_deleted_from_the_store(suite: Suite, hasty: Client) -> None:
    """What is in memory goes on; what is not there is told, fails alone, and comes back with its files."""
    expected = suite.client.predict("sentiment", [TEXT])
    plain = suite.client.predict("classifier", [TEXT])
    folder = suite.home.artifacts / "bundles" / plain.bundle_digest
    hidden = folder.with_name(f"hidden-{folder.name}")
    folder.rename(hidden)
    try:
        assert suite.client.predict("classifier", [TEXT]).bundle_digest == plain.bundle_digest
        old = kill(suite, "triton")
        until_sync(lambda: is_back(suite, "triton", old), 60)
        until_sync(lambda: same(suite, hasty, expected), 60)
        with pytest.raises(FailedPreconditionError, match=plain.bundle_digest):
            suite.client.predict("classifier", [TEXT])
        assert same(suite, hasty, expected)
        # The host is ready again, for the other model; of this one it is known that it cannot be answered.
        until_sync(lambda: health(suite, SENTIMENT) == SERVING)
        until_sync(lambda: health(suite, CLASSIFIER) == NOT_SERVING)
        assert health(suite, "") == SERVING
    finally:
        hidden.rename(folder)
    again = suite.client.predict("classifier", [TEXT])
    assert again.predictions[0].probability == pytest.approx(plain.predictions[0].probability, abs=1e-6)
    until_sync(lambda: health(suite, CLASSIFIER) == SERVING)


def test_inference_dies(suite: Suite, hasty: Client) -> None:
    old = kill(suite, "inference")
    first_failure(lambda: hasty.predict("sentiment", [TEXT]))
    until_sync(lambda: is_back(suite, "inference", old), 60)
    until_sync(lambda: answers(hasty), 60)


def test_training_dies_and_serving_goes_on(suite: Suite, hasty: Client) -> None:
    before = stored(suite)
    old = kill(suite, "training")
    first_failure(lambda: hasty.get_model("sentiment"))
    assert hasty.predict("sentiment", [TEXT]).predictions
    until_sync(lambda: is_back(suite, "training", old), 60)
    assert stored(suite) == before
