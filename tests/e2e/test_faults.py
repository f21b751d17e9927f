"""kill -9 of each process in turn, under `up`: clear statuses, all comes back by itself, nothing stored is lost."""

import os
import signal
from collections.abc import Callable

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.waiting import until_sync
from symbiont.api.inference.v1 import inference_pb2 as pb
from symbiont.api.inference.v1.inference_pb2_grpc import InferenceServiceStub
from symbiont.api.training.v1 import training_job_pb2 as jobs
from symbiont.client import Client, UnavailableError, training_spec
from symbiont.client.channels import Limits

from .conftest import Suite

TEXT = "A film that I would gladly see again."


@pytest.fixture
def hasty(suite: Suite) -> Client:
    """A client that shows the first failure instead of trying again."""
    return Client(suite.endpoints, Limits(patience=0, watch_patience=60))


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
    until_sync(lambda: is_back(suite, name, old), 60)
    until_sync(lambda: answers(hasty), 60)
    again = suite.client.predict("sentiment", [TEXT])
    assert again.bundle_digest == expected.bundle_digest
    assert again.predictions[0].probability == pytest.approx(expected.predictions[0].probability, abs=1e-6)
    assert stored(suite) == before


def test_a_triton_that_hangs(suite: Suite, hasty: Client) -> None:
    expected = hasty.predict("sentiment", [TEXT])
    request = pb.PredictRequest(model="models/sentiment", instances=[pb.Instance(text=TEXT)])
    with grpc.insecure_channel(suite.endpoints.inference) as channel:
        stub = InferenceServiceStub(channel)
        os.kill(suite.pid("triton"), signal.SIGSTOP)
        try:
            for _ in range(6):
                with pytest.raises(grpc.RpcError) as caught:
                    stub.Predict(request, timeout=0.5)
                assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            until_sync(lambda: health(channel) == health_pb2.HealthCheckResponse.NOT_SERVING, 30)
        finally:
            os.kill(suite.pid("triton"), signal.SIGCONT)
        until_sync(lambda: health(channel) == health_pb2.HealthCheckResponse.SERVING, 60)
    again = suite.client.predict("sentiment", [TEXT])
    assert again.bundle_digest == expected.bundle_digest
    assert again.predictions[0].probability == pytest.approx(expected.predictions[0].probability, abs=1e-6)


def health(channel: grpc.Channel) -> int:
    """Returns the health of a model."""
    check = health_pb2_grpc.HealthStub(channel).Check
    return int(check(health_pb2.HealthCheckRequest(service="models/sentiment@production")).status)


def answers(client: Client) -> bool:
    """Whether a prediction succeeds now; any failure but UNAVAILABLE fails the test."""
    try:
        return bool(client.predict("sentiment", [TEXT]).predictions)
    except UnavailableError:
        return False


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


def test_a_worker_dies(suite: Suite) -> None:
    spec = training_spec(
        base_model="minilm",
        dataset="plain-rows",
        model="survivor",
        method="lora",
        epochs=3,
        batch_size=8,
        max_tokens=32,
        checkpoint_interval=5,
    )
    job = suite.client.create_training_job(spec)
    next(e for e in suite.client.watch_training_job(job.name) if e.WhichOneof("event") == "checkpoint_saved")
    (worker,) = suite.home.workers()
    os.kill(worker.pid, signal.SIGKILL)
    events = list(suite.client.watch_training_job(job.name))
    assert [e.event_id for e in events] == list(range(1, len(events) + 1))
    states = [jobs.JobState.Name(e.state_change.new_state) for e in events if e.WhichOneof("event") == "state_change"]
    assert "JOB_STATE_RECOVERING" in states
    assert states[-1] == "JOB_STATE_SUCCEEDED"
    assert suite.client.get_training_job(job.name).attempt == 2
    assert suite.client.get_model("survivor").latest_version == 1
