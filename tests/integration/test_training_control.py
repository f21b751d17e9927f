"""Jobs are paused, resumed, cancelled with their work kept, cut off, limited, and asked for what they may not do."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prometheus_client.parser import text_string_to_metric_families

from support.proxy import proxy
from support.tiny import csv_of, labelled_rows, save_base
from support.training_suite import Suite
from support.waiting import until_sync
from symbiont.api.training.v1 import dataset_pb2
from symbiont.api.training.v1 import training_job_pb2 as pb
from symbiont.client import Client, Endpoints, job_budget
from symbiont.training.fork_server import ForkServer

TESTS = Path(__file__).parents[1]
HYPER = pb.Hyperparameters
LONG = HYPER(epochs=24, batch_size=4, checkpoint_interval=20)
# Of two ranks, whose steps take longer.
PAIRED = HYPER(epochs=8, batch_size=4, checkpoint_interval=20)
ENDLESS = HYPER(epochs=1000, batch_size=1, checkpoint_interval=50)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    suite = Suite(
        tmp_path_factory.mktemp("suite"),
        max_concurrent_jobs=2,
        max_jobs_per_tenant=1,
        price_per_rank_hour=3600,
        collect_seconds=0.2,
    )
    suite.tokenization.start()
    suite.training.start()
    suite.register(save_base(suite.folder / "tiny"))
    suite.upload("rows", csv_of(labelled_rows(64)))
    yield suite
    suite.channel.close()
    assert suite.training.stop() == 0
    assert suite.tokenization.stop() == 0


@pytest.fixture(scope="module")
def client(suite: Suite) -> Iterator[Client]:
    with Client(Endpoints(training=suite.training.address)) as client:
        yield client


@pytest.fixture(scope="module")
def whole(suite: Suite) -> str:
    """The weights of a run that nobody disturbed."""
    job = suite.create(hyperparameters=LONG, model="models/whole")
    assert suite.states(job.name)[-1] == "SUCCEEDED", suite.get(job.name).failure
    return suite.weights_digest(job.name)


def state(suite: Suite, job: str) -> str:
    return pb.JobState.Name(suite.get(job).state).removeprefix("JOB_STATE_")


@pytest.mark.slow
def test_a_job_that_was_paused_learns_the_same(suite: Suite, client: Client, whole: str) -> None:
    job = suite.create(hyperparameters=LONG, model="models/paused").name
    worker = suite.worker(job, 1)
    assert client.pause_training_job(job).state == pb.JOB_STATE_PAUSING
    until_sync(lambda: state(suite, job) == "PAUSED")
    until_sync(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
    paused = suite.get(job)
    assert paused.usage.training_time.ToNanoseconds() > 0
    assert paused.usage.cost == pytest.approx(paused.usage.training_time.ToNanoseconds() / 1e9, rel=0.01)
    assert client.pause_training_job(job).state == pb.JOB_STATE_PAUSED
    assert suite.get(job).usage == paused.usage
    assert client.resume_training_job(job).state == pb.JOB_STATE_QUEUED
    states = suite.states(job)
    assert states[:6] == ["QUEUED", "STARTING", "RUNNING", "PAUSING", "PAUSED", "QUEUED"]
    assert states[6:] == ["STARTING", "RUNNING", "EVALUATING", "SUCCEEDED"]
    assert suite.weights_digest(job) == whole


@pytest.fixture(scope="module")
def two_ranks(suite: Suite) -> str:
    """A run of two ranks that nobody disturbed."""
    job = suite.create(hyperparameters=PAIRED, model="models/ranks", ranks=2).name
    assert suite.states(job)[-1] == "SUCCEEDED", suite.get(job).failure
    return job


def test_two_ranks_pause_on_the_same_step_and_learn_the_same(suite: Suite, client: Client, two_ranks: str) -> None:
    job = suite.create(hyperparameters=PAIRED, model="models/ranks", ranks=2).name
    suite.worker(job, 1)
    client.pause_training_job(job)
    until_sync(lambda: state(suite, job) == "PAUSED")
    client.resume_training_job(job)
    assert suite.states(job)[-4:] == ["STARTING", "RUNNING", "EVALUATING", "SUCCEEDED"], suite.get(job).failure
    assert suite.weights_digest(job) == suite.weights_digest(two_ranks)
    # As many rows a step, in another order of addition: the losses follow each other.
    reference = suite.create(hyperparameters=PAIRED, model="models/one-rank").name
    assert suite.states(reference)[-1] == "SUCCEEDED", suite.get(reference).failure
    one, two = (last_progress(suite, name) for name in (reference, two_ranks))
    assert two.step == one.step
    assert two.loss == pytest.approx(one.loss, rel=0.25, abs=0.05)


@pytest.mark.drill
def test_two_ranks_lose_one_and_learn_the_same(suite: Suite, two_ranks: str) -> None:
    job = suite.create(hyperparameters=PAIRED, model="models/ranks", ranks=2).name
    suite.worker(job, 1)
    mark = suite.folder / "jobs" / job.removeprefix("jobs/") / "attempt-1/worker-1.json"
    psutil.Process(int(json.loads(mark.read_text())["pid"])).kill()
    states = suite.states(job)
    assert states[-5:] == ["RECOVERING", "STARTING", "RUNNING", "EVALUATING", "SUCCEEDED"], suite.get(job).failure
    assert suite.weights_digest(job) == suite.weights_digest(two_ranks)


def last_progress(suite: Suite, job: str) -> pb.Progress:
    return [e.progress for e in suite.events(job) if e.WhichOneof("event") == "progress"][-1]


def test_cancelling_keeps_what_was_learned(suite: Suite, client: Client) -> None:
    job = suite.create(hyperparameters=ENDLESS, model="models/kept").name
    suite.worker(job, 1)
    assert client.cancel_training_job(job, keep_work=True).state == pb.JOB_STATE_CANCELLING
    assert suite.states(job)[-2:] == ["CANCELLING", "CANCELLED"]
    ended = suite.get(job)
    assert ended.model_version == "models/kept/versions/1"
    assert ended.evaluation.row_count == 12
    version = client.get_model_version(ended.model_version)
    assert (suite.folder / "artifacts/bundles" / version.bundle_digest / "manifest.json").is_file()
    assert client.promote(ended.model_version).aliases[0].model_version.name == ended.model_version


def test_what_a_paused_job_has_learned_is_kept_by_another_worker(suite: Suite, client: Client) -> None:
    job = suite.create(hyperparameters=ENDLESS, model="models/kept-later").name
    suite.worker(job, 1)
    client.pause_training_job(job)
    until_sync(lambda: state(suite, job) == "PAUSED")
    assert client.cancel_training_job(job, keep_work=True).state == pb.JOB_STATE_QUEUED
    assert suite.states(job)[-4:] == ["STARTING", "RUNNING", "EVALUATING", "CANCELLED"]
    ended = suite.get(job)
    assert (ended.attempt, ended.model_version) == (2, "models/kept-later/versions/1")
    texts = [e.log_line.text for e in suite.events(job) if e.WhichOneof("event") == "log_line" and e.attempt == 2]
    assert any(text.startswith("finishing with step ") for text in texts)


@pytest.mark.slow
def test_a_budget_of_time_makes_a_version_of_the_best(suite: Suite, client: Client) -> None:
    spec = suite.spec(hyperparameters=ENDLESS, model="models/budget")
    job = client.create_training_job(spec, budget=job_budget(training_seconds=4)).name
    assert suite.states(job)[-2:] == ["EVALUATING", "FAILED"]
    ended = suite.get(job)
    assert ended.failure.kind == pb.FAILURE_KIND_BUDGET
    assert ended.failure.message.startswith("the budget of 4 s of training is used up after ")
    assert ended.model_version == "models/budget/versions/1"
    assert ended.spec.hyperparameters.evaluate_checkpoints
    judged = [e for e in suite.events(job) if e.WhichOneof("event") == "checkpoint_saved"]
    losses = {e.checkpoint_saved.digest: e.checkpoint_saved.evaluation_loss for e in judged}
    (best,) = [c for c in ended.checkpoints if c.best]
    assert best.evaluation_loss == min(losses.values())
    assert ended.evaluation.loss == pytest.approx(best.evaluation_loss)
    metrics = [e.metrics for e in suite.events(job) if e.WhichOneof("event") == "metrics"]
    assert set(metrics[0].values) == {"evaluation_loss", "evaluation_accuracy", "evaluation_macro_f1"}
    assert metrics[-1].values["peak_memory_bytes"] > 1e7
    assert 0 < metrics[-1].values["trained_parameters"] < metrics[-1].values["parameters"]


def test_a_tenant_has_its_own_places_and_priorities_decide(suite: Suite, client: Client) -> None:
    spec = suite.spec(hyperparameters=ENDLESS, model="models/tenants")
    first, low, high = (
        client.create_training_job(spec, tenant="many", priority=priority).name for priority in (0, -1, 1)
    )
    other = client.create_training_job(spec, tenant="few", priority=-100).name
    running = {first, other}
    until_sync(lambda: all(state(suite, job) in ("STARTING", "RUNNING") for job in running), 60)
    assert {state(suite, job) for job in (low, high)} == {"QUEUED"}
    until_sync(lambda: bool(suite.get(first).checkpoints), 60)
    client.cancel_training_job(first)
    until_sync(lambda: state(suite, high) in ("STARTING", "RUNNING"), 60)
    # What was learned and is not to be kept goes.
    assert suite.get(first).model_version == ""
    until_sync(lambda: not suite.get(first).checkpoints)
    assert state(suite, low) == "QUEUED"
    # Before the other two, so that no place becomes free for it.
    for job in (low, high, other):
        client.cancel_training_job(job)
    for job in (first, low, high, other):
        assert suite.states(job)[-1] == "CANCELLED"


def test_what_a_worker_printed_is_read(suite: Suite, client: Client) -> None:
    job = suite.create(hyperparameters=HYPER(epochs=1), lora={"alpha": 1e30}, model="models/diverged").name
    followed = b"".join(client.read_training_log(job, follow=True)) if suite.get(job).attempt else b""
    assert suite.states(job)[-1] == "FAILED"
    written = (suite.folder / "jobs" / job.removeprefix("jobs/") / "attempt-1/worker.log").read_bytes()
    assert b"".join(client.read_training_log(job)) == written
    assert written.startswith(followed)
    assert b"".join(client.read_training_log(job, tail_bytes=20)) == written[-20:]
    events = list(client.list_training_events(job))
    assert [e.event_id for e in events] == list(range(1, suite.get(job).last_event_id + 1))
    assert list(client.list_training_events(job, after_event_id=3)) == events[3:]


@pytest.mark.drill
def test_a_worker_that_was_cut_off_is_refused_when_it_returns(tmp_path: Path, suite: Suite, whole: str) -> None:
    # Trained anew for each folder, tokenizers differ; the same base gives the same weights.
    base = suite.folder / "tiny"
    suite = Suite(tmp_path, heartbeat_timeout_seconds=6, worker_program=f"{sys.executable} -m support.hidden_worker")
    suite.training.see(TESTS)
    with proxy(suite.training.address) as line:
        suite.training._environment["SYMBIONT_CONTROLLER_ADDRESS"] = line.address
        suite.tokenization.start()
        suite.training.start()
        try:
            suite.register(base)
            suite.upload("rows", csv_of(labelled_rows(64)))
            job = suite.create(hyperparameters=LONG).name
            until_sync(lambda: suite.get(job).progress.step > 0, 60)
            mark = tmp_path / f"hidden-{job.removeprefix('jobs/')}-1" / "worker.json"
            first = psutil.Process(int(json.loads(mark.read_text())["pid"]))
            assert line.block() == 1
            until_sync(lambda: suite.get(job).attempt == 2 and state(suite, job) == "RUNNING", 60)
            # It was not killed: it trains on, and knows nothing.
            assert first.is_running()
            assert first.status() != psutil.STATUS_ZOMBIE
            line.release()
            until_sync(lambda: not first.is_running() or first.status() == psutil.STATUS_ZOMBIE, 60)
            log = mark.with_name("log").read_text()
            assert "another attempt has taken over" in log
            assert suite.states(job)[-1] == "SUCCEEDED", suite.get(job).failure
            assert suite.weights_digest(job) == whole
            assert metric(suite, "symbiont_training_worker_reports_fenced_total") >= 1
            taken = [e for e in suite.events(job) if e.WhichOneof("event") == "checkpoint_saved"]
            second = next(e.event_id for e in suite.events(job) if e.attempt == 2)
            assert all(e.attempt == (1 if e.event_id < second else 2) for e in taken)
        finally:
            suite.channel.close()
            suite.training.stop()
            suite.tokenization.stop()


def metric(suite: Suite, name: str) -> float:
    import urllib.request

    with urllib.request.urlopen(f"http://{suite.training.metrics_address}/metrics") as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return sum(sample.value for family in families for sample in family.samples if sample.name == name)


Call = Callable[[Suite], object]
NAN, INF = float("nan"), float("inf")
INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
SPEC, JOB = "training_job.spec", "training_job"
L, H = pb.LoraMethod, f"{SPEC}.hyperparameters"


def hyper(**values: Any) -> Call:
    return lambda s: s.create(hyperparameters=HYPER(**values))


def terms(**values: Any) -> Call:
    return lambda s: s.create(terms=values)


def budget(**values: Any) -> Call:
    return terms(budget=pb.Budget(**values))


# What is asked, with what status it is refused, and which field is named.
BAD: dict[str, tuple[Call, grpc.StatusCode, str]] = {
    "no base": (lambda s: s.create(base_model=""), INVALID, f"{SPEC}.base_model"),
    "a base that does not exist": (lambda s: s.create(base_model="bases/none"), NOT_FOUND, f"{SPEC}.base_model"),
    "no dataset": (lambda s: s.create(dataset=""), INVALID, f"{SPEC}.dataset"),
    "no model": (lambda s: s.create(model=""), INVALID, f"{SPEC}.model"),
    "a model's name in capitals": (lambda s: s.create(model="models/Mood"), INVALID, f"{SPEC}.model"),
    "all rows held out": (lambda s: s.create(holdout_fraction=0.51), INVALID, f"{SPEC}.holdout_fraction"),
    "none held out": (lambda s: s.create(holdout_fraction=-0.1), INVALID, f"{SPEC}.holdout_fraction"),
    "NaN held out": (lambda s: s.create(holdout_fraction=NAN), INVALID, f"{SPEC}.holdout_fraction"),
    "unknown judge": (lambda s: s.create(evaluation_dataset="datasets/x"), NOT_FOUND, f"{SPEC}.evaluation_dataset"),
    "rank 0": (lambda s: s.create(lora=L(rank=0)), INVALID, f"{SPEC}.lora.rank"),
    "rank 257": (lambda s: s.create(lora=L(rank=257)), INVALID, f"{SPEC}.lora.rank"),
    "alpha 0": (lambda s: s.create(lora=L(alpha=0)), INVALID, f"{SPEC}.lora.alpha"),
    "infinite alpha": (lambda s: s.create(lora=L(alpha=INF)), INVALID, f"{SPEC}.lora.alpha"),
    "dropout 1": (lambda s: s.create(lora=L(dropout=1)), INVALID, f"{SPEC}.lora.dropout"),
    "no such layer": (lambda s: s.create(lora=L(target_modules=["x"])), INVALID, f"{SPEC}.lora.target_modules"),
    "one label": (lambda s: s.create(classification={"labels": ["good"]}), INVALID, f"{SPEC}.classification"),
    "a label twice": (lambda s: s.create(classification={"labels": ["a", "a"]}), INVALID, f"{SPEC}.classification"),
    "0 epochs": (hyper(epochs=0), INVALID, f"{H}.epochs"),
    "1001 epochs": (hyper(epochs=1001), INVALID, f"{H}.epochs"),
    "batch of 0": (hyper(batch_size=0), INVALID, f"{H}.batch_size"),
    "batch of 4097": (hyper(batch_size=4097), INVALID, f"{H}.batch_size"),
    "rate 0": (hyper(learning_rate=0), INVALID, f"{H}.learning_rate"),
    "rate 1.1": (hyper(learning_rate=1.1), INVALID, f"{H}.learning_rate"),
    "decay -1": (hyper(weight_decay=-1), INVALID, f"{H}.weight_decay"),
    "decay 1.1": (hyper(weight_decay=1.1), INVALID, f"{H}.weight_decay"),
    "warm-up 1.1": (hyper(warmup_fraction=1.1), INVALID, f"{H}.warmup_fraction"),
    "no gradient": (hyper(max_gradient_norm=0), INVALID, f"{H}.max_gradient_norm"),
    "7 tokens": (hyper(max_tokens=7), INVALID, f"{H}.max_tokens"),
    "more tokens than the base has": (hyper(max_tokens=65), INVALID, f"{H}.max_tokens"),
    "no interval": (hyper(checkpoint_interval=0), INVALID, f"{H}.checkpoint_interval"),
    "a million and one": (hyper(checkpoint_interval=1_000_001), INVALID, f"{H}.checkpoint_interval"),
    "no accumulation": (hyper(accumulation_steps=0), INVALID, f"{H}.accumulation_steps"),
    "1025 accumulations": (hyper(accumulation_steps=1025), INVALID, f"{H}.accumulation_steps"),
    "0 ranks": (lambda s: s.create(ranks=0), INVALID, f"{SPEC}.ranks"),
    "65 ranks": (lambda s: s.create(ranks=65), INVALID, f"{SPEC}.ranks"),
    "more ranks than rows": (
        lambda s: s.create(ranks=3, hyperparameters=HYPER(batch_size=2)),
        INVALID,
        f"{SPEC}.ranks",
    ),
    "a tenant's name": (terms(tenant="A B"), INVALID, f"{JOB}.tenant"),
    "priority 101": (terms(priority=101), INVALID, f"{JOB}.priority"),
    "priority -101": (terms(priority=-101), INVALID, f"{JOB}.priority"),
    "a budget of no time": (budget(training_time=Duration()), INVALID, f"{JOB}.budget.training_time"),
    "a budget of nothing": (budget(cost=0), INVALID, f"{JOB}.budget.cost"),
    "a negative budget": (budget(cost=-1), INVALID, f"{JOB}.budget.cost"),
    "a budget of NaN": (budget(cost=NAN), INVALID, f"{JOB}.budget.cost"),
    "a deadline at once": (budget(deadline=Duration()), INVALID, f"{JOB}.budget.deadline"),
    "a long request id": (lambda s: s.create("x" * 129), INVALID, "request_id"),
    "an unknown job": (lambda s: s.jobs.PauseTrainingJob(pb.PauseTrainingJobRequest(name="jobs/j")), NOT_FOUND, "name"),
    "no job's name": (lambda s: s.jobs.ResumeTrainingJob(pb.ResumeTrainingJobRequest(name="x")), INVALID, "name"),
    "events after -1": (
        lambda s: s.jobs.ListTrainingEvents(pb.ListTrainingEventsRequest(name="jobs/j", after_event_id=-1)),
        INVALID,
        "after_event_id",
    ),
    "a dataset that does not exist": (
        lambda s: s.datasets.DeleteDataset(dataset_pb2.DeleteDatasetRequest(name="datasets/none")),
        NOT_FOUND,
        "name",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_before_any_work(suite: Suite, case: str) -> None:
    call, code, field = BAD[case]
    before = suite.jobs.ListTrainingJobs(pb.ListTrainingJobsRequest())
    with pytest.raises(grpc.RpcError) as caught:
        call(suite)
    error: Any = caught.value
    assert error.code() is code, error.details()
    named = [
        violation.field
        for detail in rpc_status.from_call(error).details
        if detail.Is(error_details_pb2.BadRequest.DESCRIPTOR)
        for violation in error_details_pb2.BadRequest.FromString(detail.value).field_violations
    ]
    assert [name for name in named if name.startswith(field)], (named, error.details())
    assert suite.jobs.ListTrainingJobs(pb.ListTrainingJobsRequest()) == before


def test_an_ended_job_takes_no_orders(suite: Suite, two_ranks: str) -> None:
    job = two_ranks
    before = suite.get(job)
    calls = [
        lambda: suite.jobs.PauseTrainingJob(pb.PauseTrainingJobRequest(name=job)),
        lambda: suite.jobs.ResumeTrainingJob(pb.ResumeTrainingJobRequest(name=job)),
        lambda: suite.jobs.CancelTrainingJob(pb.CancelTrainingJobRequest(name=job)),
        lambda: suite.jobs.CancelTrainingJob(pb.CancelTrainingJobRequest(name=job, keep_work=True)),
    ]
    for call in calls:
        with pytest.raises(grpc.RpcError) as caught:
            call()
        error: Any = caught.value
        assert error.code() is PRECONDITION
        assert job in error.details()
        assert suite.get(job) == before


def test_a_dataset_that_goes_while_a_job_waits(suite: Suite, client: Client) -> None:
    suite.upload("passing", csv_of(labelled_rows(40, seed=3)))
    busy = [client.create_training_job(suite.spec(hyperparameters=ENDLESS), tenant=t).name for t in ("a", "b")]
    until_sync(lambda: all(suite.get(job).attempt for job in busy), 60)
    job = suite.create(dataset="datasets/passing", terms={"tenant": "c"}).name
    until_sync(lambda: state(suite, job) == "QUEUED")
    # Nobody can take it away from under the job by the front door,
    with pytest.raises(grpc.RpcError) as caught:
        suite.datasets.DeleteDataset(dataset_pb2.DeleteDatasetRequest(name="datasets/passing"))
    error: Any = caught.value
    assert error.code() is PRECONDITION
    assert f"{job} works on datasets/passing" in error.details()
    assert state(suite, job) == "QUEUED"
    # and who comes by the back door finds the job ended with the reason.
    digest = suite.datasets.GetDataset(dataset_pb2.GetDatasetRequest(name="datasets/passing")).digest
    (suite.folder / "artifacts/datasets" / digest / "manifest.json").unlink()
    for running in busy:
        client.cancel_training_job(running)
    assert suite.states(job)[-1] == "FAILED"
    failure = suite.get(job).failure
    assert failure.kind == pb.FAILURE_KIND_DATA
    assert "datasets/passing cannot be used: it is gone; store it again" in failure.message
    client.delete_dataset("passing")
    assert [d.name for d in client.list_datasets()] == ["datasets/rows"]


@pytest.mark.slow
def test_the_forks_of_a_service_learn_what_its_programs_do(tmp_path: Path) -> None:
    suite = Suite(tmp_path, warm_workers=True)
    suite.tokenization.start()
    suite.training.start()
    (own,) = psutil.Process(suite.training.process.pid).children()
    server = ForkServer(own.cmdline()[-1])
    suite.register(save_base(tmp_path / "tiny"))
    suite.upload("rows", csv_of(labelled_rows(64)))
    # At first there is nothing to fork from yet: the job need not wait for it.
    jobs = [suite.create(model="models/cold").name]
    parents = [suite.worker(jobs[0], 1).ppid()]
    assert suite.states(jobs[0])[-1] == "SUCCEEDED"
    until_sync(server.ready, 60)
    jobs.append(suite.create(model="models/warm", hyperparameters=HYPER(epochs=300)).name)
    parents.append(suite.worker(jobs[1], 1).ppid())
    suite.jobs.CancelTrainingJob(pb.CancelTrainingJobRequest(name=jobs[1]))
    assert parents == [suite.training.process.pid, own.pid]
    jobs[1] = suite.create(model="models/warm").name
    assert suite.states(jobs[1])[-1] == "SUCCEEDED"
    assert len({suite.weights_digest(job) for job in jobs}) == 1
    suite.channel.close()
    assert suite.training.stop() == 0
    assert suite.tokenization.stop() == 0
    assert not own.is_running()
