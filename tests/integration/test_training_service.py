"""The training service with real workers and real tokenization: the path, bad input, and what dies comes back."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from google.protobuf import field_mask_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prometheus_client.parser import text_string_to_metric_families

from support.tiny import csv_of, labelled_rows, save_base
from support.training_suite import Suite
from support.waiting import until_sync
from symbiont.api.training.v1 import (
    base_model_pb2,
    dataset_pb2,
    model_pb2,
    training_job_pb2,
    worker_pb2,
)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    suite = Suite(tmp_path_factory.mktemp("suite"))
    suite.tokenization.start()
    suite.training.start()
    suite.register(save_base(suite.folder / "tiny"))
    suite.upload("rows", csv_of(labelled_rows(64)))
    yield suite
    suite.channel.close()
    assert suite.training.stop() == 0
    assert suite.tokenization.stop() == 0


SHORT = training_job_pb2.Hyperparameters(epochs=2, batch_size=16)
LONG = training_job_pb2.Hyperparameters(epochs=24, batch_size=4, checkpoint_interval=20)


def test_from_rows_to_a_promoted_version(suite: Suite) -> None:
    job = suite.create(hyperparameters=SHORT, model="models/first")
    events = list(suite.watch(job.name))
    assert [e.event_id for e in events] == list(range(1, len(events) + 1))
    kinds = {e.WhichOneof("event") for e in events}
    assert kinds >= {"state_change", "progress", "evaluation", "log_line"}
    done = suite.get(job.name)
    assert done.state == training_job_pb2.JOB_STATE_SUCCEEDED, done.failure
    assert done.model_version == "models/first/versions/1"
    assert done.evaluation.row_count == sum(done.evaluation.confusion_matrix) == 12
    version = suite.models.GetModelVersion(model_pb2.GetModelVersionRequest(name=done.model_version))
    assert (suite.folder / "artifacts" / "bundles" / version.bundle_digest / "manifest.json").is_file()
    aliases = suite.models.WatchModelAliases(model_pb2.WatchModelAliasesRequest(), timeout=60)
    assert next(aliases).complete
    model = suite.models.PromoteModelVersion(model_pb2.PromoteModelVersionRequest(name=version.name))
    assert [(a.alias, a.model_version.name) for a in model.aliases] == [("production", version.name)]
    (told,) = next(aliases).aliases
    assert told.model_version.bundle_digest == version.bundle_digest
    aliases.cancel()
    assert list(suite.watch(job.name, events[-2].event_id)) == events[-1:]


def test_a_release_from_its_beginning_to_its_end_and_a_way_back(suite: Suite) -> None:
    two = suite.create("request-1", hyperparameters=SHORT, model="models/first").name
    assert suite.states(two)[-1] == "SUCCEEDED"
    stub, alias = suite.models, "models/first/aliases/tried"
    first, second = "models/first/versions/1", suite.get(two).model_version
    stub.PromoteModelVersion(model_pb2.PromoteModelVersionRequest(name=first, alias="tried"))
    aliases = stub.WatchModelAliases(model_pb2.WatchModelAliasesRequest(), timeout=60)
    assert next(aliases).complete

    rules = model_pb2.ReleaseRules(max_label_shift=0.0)
    asked = model_pb2.Release(candidate=second, weight=5, shadow=True, rules=rules)
    release = stub.CreateRelease(model_pb2.CreateReleaseRequest(parent=alias, release=asked))
    assert release.rules == model_pb2.ReleaseRules(max_label_shift=0.0, min_samples=500)
    (told,) = next(aliases).aliases
    assert (told.name, told.release) == (alias, release)
    assert told.release.candidate_version.bundle_digest
    changed = model_pb2.Release(name=release.name, weight=60)
    mask = field_mask_pb2.FieldMask(paths=["weight"])
    changed = stub.UpdateRelease(model_pb2.UpdateReleaseRequest(release=changed, update_mask=mask))
    assert (changed.weight, changed.shadow) == (60, True)
    assert next(aliases).aliases[0].release == changed
    promoted = stub.PromoteRelease(model_pb2.PromoteReleaseRequest(name=release.name))
    assert promoted.state == model_pb2.RELEASE_STATE_PROMOTED
    (told,) = next(aliases).aliases
    assert (told.model_version.name, told.previous_version, told.HasField("release")) == (second, first, False)

    back = model_pb2.RollbackModelAliasRequest(name=alias, from_version=second)
    assert [stub.RollbackModelAlias(back).model_version.name for _ in range(2)] == [first] * 2
    again = stub.CreateRelease(model_pb2.CreateReleaseRequest(parent=alias, release=asked))
    ended = stub.EndRelease(model_pb2.EndReleaseRequest(name=again.name, reason="labels", rule_broken=True))
    assert (ended.state, ended.end_reason) == (model_pb2.RELEASE_STATE_ROLLED_BACK, "labels")
    assert stub.GetRelease(model_pb2.GetReleaseRequest(name=again.name)) == ended
    listed = stub.ListReleases(model_pb2.ListReleasesRequest(parent=alias, page_size=1))
    rest = stub.ListReleases(model_pb2.ListReleasesRequest(parent=alias, page_token=listed.next_page_token))
    assert [r.name for r in (*listed.releases, *rest.releases)] == [again.name, release.name]
    aliases.cancel()


def test_the_same_request_is_the_same_job(suite: Suite) -> None:
    # That of the test before.
    job = suite.create("request-1", hyperparameters=SHORT, model="models/first")
    assert suite.create("request-1", hyperparameters=SHORT, model="models/first").name == job.name
    with pytest.raises(grpc.RpcError) as caught:
        suite.create("request-1", hyperparameters=LONG, model="models/first")
    assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert suite.states(job.name)[-1] == "SUCCEEDED"


@pytest.fixture(scope="module")
def undisturbed(suite: Suite) -> str:
    """A long job of which only the controller died while it ran."""
    job = suite.create(hyperparameters=LONG)
    worker = suite.worker(job.name, 1)
    suite.training.kill()
    with pytest.raises(grpc.RpcError) as caught:
        suite.jobs.GetTrainingJob(training_job_pb2.GetTrainingJobRequest(name=job.name))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert worker.is_running()
    suite.training.start()
    return job.name


def test_the_worker_trains_on_while_the_controller_is_dead(suite: Suite, undisturbed: str) -> None:
    events = list(suite.watch(undisturbed))
    assert [e.event_id for e in events] == list(range(1, len(events) + 1))
    steps = [e.progress.step for e in events if e.WhichOneof("event") == "progress"]
    assert steps == sorted(set(steps))
    assert suite.states(undisturbed) == ["QUEUED", "STARTING", "RUNNING", "EVALUATING", "SUCCEEDED"]


def test_a_worker_that_is_stopped_is_replaced_and_nothing_is_lost(suite: Suite, undisturbed: str) -> None:
    job = suite.create(hyperparameters=LONG)
    os.kill(suite.worker(job.name, 1).pid, signal.SIGTERM)
    again = ["RECOVERING", "STARTING", "RUNNING"]
    assert suite.states(job.name) == ["QUEUED", "STARTING", "RUNNING", *again, "EVALUATING", "SUCCEEDED"]
    events = [e for e in suite.watch(job.name) if e.attempt == 2 and e.WhichOneof("event") == "log_line"]
    assert any(e.log_line.text.startswith("resuming after step ") for e in events)
    assert suite.weights_digest(job.name) == suite.weights_digest(undisturbed)


def test_a_job_waits_for_a_tokenization_service_that_died(suite: Suite) -> None:
    suite.tokenization.kill()
    job = suite.create(hyperparameters=SHORT)
    until_sync(lambda: suite.get(job.name).state == training_job_pb2.JOB_STATE_RUNNING, 60)
    suite.tokenization.start()
    assert suite.states(job.name)[-1] == "SUCCEEDED"


def test_cancelling_stops_the_worker(suite: Suite) -> None:
    job = suite.create(hyperparameters=training_job_pb2.Hyperparameters(epochs=1000, batch_size=1))
    worker = suite.worker(job.name, 1)
    cancelled = suite.jobs.CancelTrainingJob(training_job_pb2.CancelTrainingJobRequest(name=job.name))
    assert cancelled.state == training_job_pb2.JOB_STATE_CANCELLING
    assert suite.states(job.name)[-2:] == ["CANCELLING", "CANCELLED"]
    until_sync(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
    with pytest.raises(grpc.RpcError) as caught:
        suite.jobs.CancelTrainingJob(training_job_pb2.CancelTrainingJobRequest(name=job.name))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


def test_a_stranger_cannot_report(suite: Suite) -> None:
    # The job of another test, or the same again.
    job = suite.create("request-1", hyperparameters=SHORT, model="models/first")
    assert suite.states(job.name)[-1] == "SUCCEEDED"
    message = worker_pb2.WorkerMessage(job=job.name, attempt=7, seq=1, done=worker_pb2.Done(bundle_digest="f" * 64))
    with pytest.raises(grpc.RpcError) as caught:
        list(suite.workers.Report(iter([message])))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


Call = Callable[[Suite], object]
NAN = float("nan")
HYPER = training_job_pb2.Hyperparameters
INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
SUCCEEDED = training_job_pb2.JOB_STATE_SUCCEEDED
RELEASE = "models/mood/aliases/production/releases"
BAD: dict[str, tuple[Call, grpc.StatusCode, str]] = {
    "unknown base": (lambda s: s.create(base_model="bases/none"), NOT_FOUND, "bases/none does not exist"),
    "malformed base": (lambda s: s.create(base_model="tiny"), INVALID, "training_job.spec.base_model"),
    "unknown dataset": (lambda s: s.create(dataset="datasets/none"), NOT_FOUND, "datasets/none does not exist"),
    "unknown label": (
        lambda s: s.create(classification=training_job_pb2.ClassificationHead(labels=["good", "ugly"])),
        INVALID,
        "training_job.spec.classification.labels",
    ),
    "NaN learning rate": (
        lambda s: s.create(hyperparameters=HYPER(learning_rate=NAN)),
        INVALID,
        "training_job.spec.hyperparameters.learning_rate",
    ),
    "negative epochs": (
        lambda s: s.create(hyperparameters=HYPER(epochs=-1)),
        INVALID,
        "training_job.spec.hyperparameters.epochs",
    ),
    "negative rank": (
        lambda s: s.create(lora=training_job_pb2.LoraMethod(rank=-8)),
        INVALID,
        "training_job.spec.lora.rank",
    ),
    "empty upload": (lambda s: s.upload("bad", b""), INVALID, "chunk"),
    "missing column": (lambda s: s.upload("bad", b"a,b\n1,2\n"), INVALID, "header.dataset.text_column"),
    "bad encoding": (lambda s: s.upload("bad", b"text,label\n\xff,1\n"), INVALID, "chunk"),
    "one class": (lambda s: s.upload("bad", b"text,label\na,1\nb,1\n"), INVALID, "chunk"),
    "cut Parquet": (lambda s: s.upload("bad", b"PAR1xxxx", dataset_pb2.DATASET_FORMAT_PARQUET), INVALID, "chunk"),
    "unknown format": (lambda s: s.upload("bad", b"x", 77), INVALID, "header.dataset.format"),
    "cut upload": (
        lambda s: s.upload("bad", b"text,label\na,1\nb,0\n", byte_count=100),
        INVALID,
        "header.byte_count",
    ),
    "bad dataset id": (lambda s: s.upload("../x", b"x"), INVALID, "header.dataset_id"),
    "chunk first": (
        lambda s: s.datasets.CreateDataset(iter([dataset_pb2.CreateDatasetRequest(chunk=b"x")])),
        INVALID,
        "header",
    ),
    "nothing at all": (lambda s: s.datasets.CreateDataset(iter([])), INVALID, "header"),
    "name taken": (
        lambda s: s.upload("rows", b"text,label\na,1\nb,0\n"),
        grpc.StatusCode.ALREADY_EXISTS,
        "datasets/rows exists with other content",
    ),
    "no source": (
        lambda s: s.bases.RegisterBaseModel(base_model_pb2.RegisterBaseModelRequest(base_model_id="x")),
        INVALID,
        "base_model.source",
    ),
    "no folder": (lambda s: s.register(Path("/no/such")), INVALID, "base_model.source.folder"),
    "unknown version": (
        lambda s: s.models.PromoteModelVersion(model_pb2.PromoteModelVersionRequest(name="models/mood/versions/999")),
        NOT_FOUND,
        "models/mood/versions/999 does not exist",
    ),
    "unknown model": (
        lambda s: s.models.GetModel(model_pb2.GetModelRequest(name="models/none")),
        NOT_FOUND,
        "models/none does not exist",
    ),
    "malformed version": (
        lambda s: s.models.PromoteModelVersion(model_pb2.PromoteModelVersionRequest(name="models/mood/versions/0")),
        INVALID,
        "name",
    ),
    "bad alias": (
        lambda s: s.models.PromoteModelVersion(
            model_pb2.PromoteModelVersionRequest(name="models/mood/versions/1", alias="A B")
        ),
        INVALID,
        "alias",
    ),
    "release of an unknown alias": (
        lambda s: s.models.CreateRelease(
            model_pb2.CreateReleaseRequest(
                parent="models/mood/aliases/nobody", release=model_pb2.Release(candidate="models/mood/versions/1")
            )
        ),
        NOT_FOUND,
        "models/mood/",
    ),
    "release without a candidate": (
        lambda s: s.models.CreateRelease(model_pb2.CreateReleaseRequest(parent="models/mood/aliases/production")),
        INVALID,
        "release.candidate",
    ),
    "release of no alias": (
        lambda s: s.models.CreateRelease(model_pb2.CreateReleaseRequest(parent="models/mood")),
        INVALID,
        "parent",
    ),
    "nothing to update": (
        lambda s: s.models.UpdateRelease(
            model_pb2.UpdateReleaseRequest(release=model_pb2.Release(name=f"{RELEASE}/r1"))
        ),
        INVALID,
        "update_mask",
    ),
    "update of the rules": (
        lambda s: s.models.UpdateRelease(
            model_pb2.UpdateReleaseRequest(
                release=model_pb2.Release(name=f"{RELEASE}/r1"),
                update_mask=field_mask_pb2.FieldMask(paths=["weight", "rules"]),
            )
        ),
        INVALID,
        "update_mask",
    ),
    "unknown release": (
        lambda s: s.models.PromoteRelease(model_pb2.PromoteReleaseRequest(name=f"{RELEASE}/r1")),
        NOT_FOUND,
        f"{RELEASE}/r1 does not exist",
    ),
    "end of no release": (
        lambda s: s.models.EndRelease(model_pb2.EndReleaseRequest(name="models/mood/aliases/production")),
        INVALID,
        "name",
    ),
    "endless reason": (
        lambda s: s.models.EndRelease(model_pb2.EndReleaseRequest(name=f"{RELEASE}/r1", reason="r" * 1001)),
        INVALID,
        "reason",
    ),
    "rollback from another model": (
        lambda s: s.models.RollbackModelAlias(
            model_pb2.RollbackModelAliasRequest(
                name="models/mood/aliases/production", from_version="models/other/versions/1"
            )
        ),
        INVALID,
        "from_version",
    ),
    "rollback of an unknown alias": (
        lambda s: s.models.RollbackModelAlias(
            model_pb2.RollbackModelAliasRequest(
                name="models/mood/aliases/nobody", from_version="models/mood/versions/1"
            )
        ),
        NOT_FOUND,
        "models/mood/aliases/nobody does not exist",
    ),
    "releases of an unknown model": (
        lambda s: s.models.ListReleases(model_pb2.ListReleasesRequest(parent="models/none/aliases/-")),
        NOT_FOUND,
        "models/none does not exist",
    ),
    "unknown job": (lambda s: s.get("jobs/job-none"), NOT_FOUND, "jobs/job-none does not exist"),
    "watch backwards": (lambda s: list(s.watch("jobs/job-none", -1)), INVALID, "after_event_id"),
    "negative page": (
        lambda s: s.jobs.ListTrainingJobs(training_job_pb2.ListTrainingJobsRequest(page_size=-1)),
        INVALID,
        "page_size",
    ),
    "state of no job": (
        lambda s: s.jobs.ListTrainingJobs(training_job_pb2.ListTrainingJobsRequest(states=[2, 77])),
        INVALID,
        "states[1]",
    ),
    "model without its collection": (
        lambda s: s.jobs.ListTrainingJobs(training_job_pb2.ListTrainingJobsRequest(model="mood")),
        INVALID,
        "model",
    ),
    "made-up page token": (
        lambda s: s.models.ListModels(model_pb2.ListModelsRequest(page_token="%%%")),
        INVALID,
        "page_token",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_name_and_nothing_changes(suite: Suite, case: str) -> None:
    call, code, named = BAD[case]
    before = snapshot(suite)
    with pytest.raises(grpc.RpcError) as caught:
        call(suite)
    error: Any = caught.value
    assert error.code() is code, error.details()
    assert named in error.details()
    if code is not grpc.StatusCode.ALREADY_EXISTS:
        assert error.details().startswith(f"{violated_field(error)}: ")
    if code is INVALID:
        assert violated_field(error) == named
    assert snapshot(suite) == before


def violated_field(error: grpc.RpcError) -> str:
    """Returns the field that google.rpc.BadRequest names."""
    status: Any = rpc_status.from_call(error)  # type: ignore[arg-type]
    for detail in status.details:
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(bad):
            return str(bad.field_violations[0].field)
    return ""


def snapshot(suite: Suite) -> tuple[object, ...]:
    """Returns everything that is stored."""
    return (
        suite.bases.ListBaseModels(base_model_pb2.ListBaseModelsRequest()),
        suite.datasets.ListDatasets(dataset_pb2.ListDatasetsRequest()),
        [j.name for j in suite.jobs.ListTrainingJobs(training_job_pb2.ListTrainingJobsRequest()).training_jobs],
        suite.models.ListModels(model_pb2.ListModelsRequest()),
        sorted(p.name for p in (suite.folder / "artifacts" / "datasets").iterdir()),
    )


QUERIES: list[dict[str, Any]] = [{}, {"oldest_first": True}, {"states": [SUCCEEDED], "model": "models/mood"}]


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_lists_have_pages(suite: Suite, query: dict[str, Any]) -> None:
    names, token = [], ""
    while True:
        request = training_job_pb2.ListTrainingJobsRequest(page_size=2, page_token=token, **query)
        page = suite.jobs.ListTrainingJobs(request)
        names += [job.name for job in page.training_jobs]
        token = page.next_page_token
        if not token:
            break
    everything = suite.jobs.ListTrainingJobs(training_job_pb2.ListTrainingJobsRequest()).training_jobs
    states, model = query.get("states", training_job_pb2.JobState.values()), query.get("model", "models/")
    expected = [job.name for job in everything if job.state in states and job.spec.model.startswith(model)]
    assert names == (expected[::-1] if query.get("oldest_first") else expected)
    assert len(names) > 2


def test_the_metrics_count_what_was_done(suite: Suite) -> None:
    import urllib.request

    def value(name: str, **labels: str) -> float:
        with urllib.request.urlopen(f"http://{suite.training.metrics_address}/metrics") as response:
            families = text_string_to_metric_families(response.read().decode())
        found = [s.value for f in families for s in f.samples if s.name == name and labels.items() <= s.labels.items()]
        return sum(found)

    before = value("symbiont_rpc_seconds_count", rpc="GetModel", code="NOT_FOUND")
    for _ in range(5):
        with pytest.raises(grpc.RpcError):
            suite.models.GetModel(model_pb2.GetModelRequest(name="models/none"))
    # An RPC is counted once its status has been sent.
    until_sync(lambda: value("symbiont_rpc_seconds_count", rpc="GetModel", code="NOT_FOUND") == before + 5)
    jobs = suite.jobs.ListTrainingJobs(training_job_pb2.ListTrainingJobsRequest()).training_jobs
    succeeded = sum(job.state == training_job_pb2.JOB_STATE_SUCCEEDED for job in jobs)
    assert value("symbiont_training_jobs", state="SUCCEEDED") == succeeded
    rows = value("symbiont_training_dataset_rows_total")
    suite.upload("more", csv_of(labelled_rows(10, seed=1)))
    assert value("symbiont_training_dataset_rows_total") == rows + 10
