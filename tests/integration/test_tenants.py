"""Two tenants with the same names, rows and request ids, through the real training service, workers and audit log."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from grpc_status import rpc_status

from support.guarded import GuardedProcess, said
from support.tiny import save_base
from support.training_suite import Suite
from support.waiting import until_sync
from symbiont.api.training.v1 import (
    base_model_pb2,
    dataset_pb2,
    erasure_pb2,
    erasure_pb2_grpc,
    model_pb2,
    passport_pb2,
    passport_pb2_grpc,
    promotion_pb2,
    promotion_pb2_grpc,
)
from symbiont.api.training.v1 import training_job_pb2 as job_pb2
from symbiont.common.access.chain import chains, lines_of, problems_of
from symbiont.common.principal import Role

TRAINER = (Role.TRAINER, Role.APPROVER)
BANK, SHOP = said("ana", "bank", *TRAINER), said("bob", "shop", *TRAINER)
BANK_ADMIN, SHOP_ADMIN = said("mia", "bank", Role.ADMIN), said("max", "shop", Role.ADMIN)
OPERATOR = said("ops", "", Role.OPERATOR)
# Of a tenant that has nothing.
NEW = said("new", "new", *TRAINER, Role.ADMIN)
ROWS = "text,label,who\n" + "\n".join(
    f"a {word} day number {n},{label},p{n % 5}" for n in range(12) for word, label in (("glad", "good"), ("sad", "bad"))
)
HYPER = job_pb2.Hyperparameters(epochs=1, batch_size=8, max_tokens=16)
VERSION = "models/mood/versions/1"
Metadata = tuple[tuple[str, str], ...]


def upload(suite: Suite, identifier: str, metadata: Metadata, content: str = ROWS) -> dataset_pb2.Dataset:
    dataset = dataset_pb2.Dataset(format=dataset_pb2.DATASET_FORMAT_CSV, subject_column="who")
    header = dataset_pb2.CreateDatasetHeader(dataset_id=identifier, dataset=dataset)
    messages = [
        dataset_pb2.CreateDatasetRequest(header=header),
        dataset_pb2.CreateDatasetRequest(chunk=content.encode()),
    ]
    return suite.datasets.CreateDataset(iter(messages), metadata=metadata)


def train(suite: Suite, metadata: Metadata, **terms: str) -> job_pb2.TrainingJob:
    spec = suite.spec(hyperparameters=HYPER, head_only=job_pb2.HeadOnlyMethod())
    request = job_pb2.CreateTrainingJobRequest(
        training_job=job_pb2.TrainingJob(spec=spec, **terms), request_id="the-first"
    )
    return suite.jobs.CreateTrainingJob(request, metadata=metadata)


def ended(suite: Suite, job: str, metadata: Metadata) -> list[job_pb2.TrainingEvent]:
    request = job_pb2.WatchTrainingJobRequest(name=job)
    return list(suite.jobs.WatchTrainingJob(request, metadata=metadata, timeout=300))


class World:
    """Two tenants, each with datasets/rows, a job of the same request id, and models/mood."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        base = base_model_pb2.BaseModelSource(folder=str(save_base(suite.folder / "tiny")))
        suite.bases.RegisterBaseModel(
            base_model_pb2.RegisterBaseModelRequest(
                base_model_id="tiny", base_model=base_model_pb2.BaseModel(source=base, license="MIT")
            ),
            metadata=OPERATOR,
        )
        self.datasets = [upload(suite, "rows", metadata) for metadata in (BANK, SHOP)]
        self.jobs = [train(suite, metadata) for metadata in (BANK, SHOP)]
        self.events = [ended(suite, job.name, metadata) for job, metadata in zip(self.jobs, (BANK, SHOP), strict=True)]
        self.promotion = promotion_pb2_grpc.PromotionServiceStub(suite.channel)
        self.passports = passport_pb2_grpc.PassportServiceStub(suite.channel)
        self.erasures = erasure_pb2_grpc.ErasureServiceStub(suite.channel)

    def stub(self, name: str) -> Any:
        """Returns the stub of a service, by the word that stands in CASES."""
        return {"promotion": self.promotion, "passports": self.passports}.get(name) or getattr(self.suite, name)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("tenants")
    suite = Suite(folder, GuardedProcess, test_trusted=1, audit_root=folder / "audit", plan_seconds=1)
    suite.tokenization.start()
    suite.training.start()
    yield World(suite)
    suite.stop()


def _whole(call: Callable[[], Any]) -> None:
    answer = call()
    if not hasattr(answer, "DESCRIPTOR"):
        list(answer)


def refusal(call: Callable[[], Any], *names: str) -> tuple[grpc.StatusCode, str]:
    """Returns the whole status of a call that is refused, without what it named."""
    with pytest.raises(grpc.RpcError) as caught:
        _whole(call)
    status = str(rpc_status.from_call(caught.value))
    assert "~" not in status
    for name in names:
        status = status.replace(name, "NAME")
    return caught.value.code(), status


def test_both_have_what_they_call_the_same(world: World) -> None:
    first, second = world.jobs
    assert first.name != second.name
    assert (first.request_id, first.tenant, second.tenant) == ("the-first", "bank", "shop")
    assert world.datasets[0].name == world.datasets[1].name == "datasets/rows"
    # The same rows are stored twice: what one does with them is not felt by the other.
    assert world.datasets[0].digest != world.datasets[1].digest
    for events in world.events:
        assert events[-1].state_change.new_state == job_pb2.JOB_STATE_SUCCEEDED
        assert events[-1].state_change.model_version == VERSION
    versions = [
        world.suite.models.GetModelVersion(model_pb2.GetModelVersionRequest(name=VERSION), metadata=metadata)
        for metadata in (BANK, SHOP)
    ]
    assert [version.training_job for version in versions] == [first.name, second.name]
    assert versions[0].bundle_digest != versions[1].bundle_digest
    assert train(world.suite, BANK).name == first.name
    for message in (*world.jobs, *world.datasets, *versions, *world.events[0], *world.events[1]):
        assert "~" not in str(message)


def test_lists_have_ones_own(world: World) -> None:
    suite = world.suite

    def listed(metadata: Metadata) -> list[list[str]]:
        jobs, token = [], ""
        while True:
            page = suite.jobs.ListTrainingJobs(
                job_pb2.ListTrainingJobsRequest(page_size=1, page_token=token), metadata=metadata
            )
            jobs += [job.name for job in page.training_jobs]
            token = page.next_page_token
            if not token:
                break
        models = suite.models.ListModels(model_pb2.ListModelsRequest(), metadata=metadata).models
        datasets = suite.datasets.ListDatasets(dataset_pb2.ListDatasetsRequest(), metadata=metadata).datasets
        return [jobs, [m.name for m in models], [d.name for d in datasets]]

    assert listed(BANK) == [[world.jobs[0].name], ["models/mood"], ["datasets/rows"]]
    assert listed(SHOP) == [[world.jobs[1].name], ["models/mood"], ["datasets/rows"]]
    assert listed(NEW) == [[], [], []]
    assert listed(said("eve", "", Role.VIEWER)) == [[], [], []]
    jobs, models, datasets = listed(OPERATOR)
    assert (models, datasets) == (
        ["tenants/bank/models/mood", "tenants/shop/models/mood"],
        ["tenants/bank/datasets/rows", "tenants/shop/datasets/rows"],
    )
    assert f"tenants/bank/{world.jobs[0].name}" in jobs
    of_model = job_pb2.ListTrainingJobsRequest(model="models/mood")
    assert len(suite.jobs.ListTrainingJobs(of_model, metadata=SHOP).training_jobs) == 1


CASES = [
    *(
        ("jobs", job_pb2, f"{verb}TrainingJob", "name", "{job}")
        for verb in ("Get", "Cancel", "Pause", "Resume", "Watch")
    ),
    *(("jobs", job_pb2, method, "name", "{job}") for method in ("ListTrainingEvents", "ReadTrainingLog")),
    ("jobs", job_pb2, "ReproduceModelVersion", "name", "models/{model}/versions/1"),
    *(("datasets", dataset_pb2, f"{verb}Dataset", "name", "datasets/{rows}") for verb in ("Get", "Delete", "Validate")),
    ("datasets", dataset_pb2, "SuggestRows", "name", "datasets/{rows}"),
    ("datasets", dataset_pb2, "ExportRows", "name", "datasets/{rows}"),
    ("models", model_pb2, "GetModel", "name", "models/{model}"),
    ("models", model_pb2, "ListModelVersions", "parent", "models/{model}"),
    ("models", model_pb2, "ListReleases", "parent", "models/{model}/aliases/-"),
    ("models", model_pb2, "GetModelVersion", "name", "models/{model}/versions/1"),
    ("models", model_pb2, "PromoteModelVersion", "name", "models/{model}/versions/1"),
    ("promotion", promotion_pb2, "JudgeModelVersion", "name", "models/{model}/versions/1"),
    ("promotion", promotion_pb2, "ApproveModelVersion", "name", "models/{model}/versions/1"),
    ("passports", passport_pb2, "GetModelPassport", "name", "models/{model}/versions/1"),
    ("passports", passport_pb2, "GetEvaluationReport", "name", "models/{model}/versions/1"),
]


@pytest.mark.parametrize(("stub", "messages", "method", "field", "form"), CASES, ids=[case[2] for case in CASES])
def test_what_another_has_is_refused_as_what_nobody_has(
    world: World, stub: str, messages: Any, method: str, field: str, form: str
) -> None:
    there = {"job": world.jobs[0].name, "model": "mood", "rows": "rows"}
    nowhere = {"job": "jobs/job-000000000000", "model": "none", "rows": "none"}

    def told(names: dict[str, str]) -> tuple[grpc.StatusCode, str]:
        request = getattr(messages, f"{method}Request")(**{field: form.format(**names)})
        if method == "ExportRows":
            request.format = dataset_pb2.ANNOTATION_FORMAT_CSV
        call = getattr(world.stub(stub), method)
        return refusal(lambda: call(request, metadata=NEW), *names.values())

    assert told(there) == told(nowhere)
    assert told(there)[0] is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("field", "theirs", "nobodys"),
    [
        ("dataset", "datasets/rows", "datasets/none"),
        ("evaluation_dataset", "datasets/rows", "datasets/none"),
        ("start_from", "models/mood/versions/1", "models/none/versions/1"),
    ],
)
def test_a_job_on_what_another_has(world: World, field: str, theirs: str, nobodys: str) -> None:
    def told(name: str) -> tuple[grpc.StatusCode, str]:
        spec = world.suite.spec(**{"dataset": "datasets/own", field: name})
        request = job_pb2.CreateTrainingJobRequest(training_job=job_pb2.TrainingJob(spec=spec))
        return refusal(lambda: world.suite.jobs.CreateTrainingJob(request, metadata=NEW), name)

    upload(world.suite, "own", NEW)
    assert told(theirs) == told(nobodys)


def test_rows_held_against_those_of_another(world: World) -> None:
    def told(name: str) -> tuple[grpc.StatusCode, str]:
        request = dataset_pb2.PrepareDatasetRequest(name="datasets/own", dataset_id="made")
        request.transforms.add(deduplicate=dataset_pb2.DeduplicateTransform(against=name))
        return refusal(lambda: world.suite.datasets.PrepareDataset(request, metadata=NEW), name)

    upload(world.suite, "own", NEW)
    assert told("datasets/rows") == told("datasets/none")


def test_the_decisions_of_another(world: World) -> None:
    """Of a model without decisions nothing is said of whether it is there."""
    request = promotion_pb2.ListPromotionDecisionsRequest(parent="models/mood/aliases/-")
    assert not world.promotion.ListPromotionDecisions(request, metadata=NEW).decisions


def test_a_tenant_is_whom_it_belongs_to(world: World) -> None:
    code, status = refusal(lambda: train(world.suite, BANK, tenant="shop"))
    assert (code, "training_job.tenant" in status) == (grpc.StatusCode.PERMISSION_DENIED, True)
    told = refusal(
        lambda: world.suite.models.GetModel(
            model_pb2.GetModelRequest(name="models/mood"), metadata=(*BANK, ("symbiont-tenant", "shop"))
        )
    )
    assert told[0] is grpc.StatusCode.PERMISSION_DENIED
    acting = world.suite.models.GetModel(
        model_pb2.GetModelRequest(name="models/mood"), metadata=(*OPERATOR, ("symbiont-tenant", "shop"))
    )
    assert acting.name == "models/mood"


def test_no_base_is_made_of_a_tenants_rows(world: World) -> None:
    spec = job_pb2.TrainingSpec(
        base_model="bases/tiny",
        dataset="datasets/rows",
        derived_base="bases/mine",
        masked_tokens=job_pb2.MaskedTokensHead(),
        hyperparameters=HYPER,
    )
    request = job_pb2.CreateTrainingJobRequest(training_job=job_pb2.TrainingJob(spec=spec))
    code, _ = refusal(lambda: world.suite.jobs.CreateTrainingJob(request, metadata=BANK))
    assert code is grpc.StatusCode.PERMISSION_DENIED


def test_the_second_person(world: World) -> None:
    policy = promotion_pb2.PromotionPolicy(alias="models/mood/aliases/production", approvals=1)
    world.promotion.SetPromotionPolicy(promotion_pb2.SetPromotionPolicyRequest(policy=policy), metadata=BANK_ADMIN)
    approve = promotion_pb2.ApproveModelVersionRequest(name=VERSION)
    # What a call says of itself is nothing where it is known who calls.
    pretending = (*BANK, ("symbiont-principal", "mia"))
    code, status = refusal(lambda: world.promotion.ApproveModelVersion(approve, metadata=pretending))
    assert (code, "ana has trained" in status, "SAME_PERSON" in status) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        True,
        True,
    )
    decision = world.promotion.ApproveModelVersion(approve, metadata=BANK_ADMIN)
    assert (decision.principal, decision.model_version) == ("mia", VERSION)
    promoted = world.suite.models.PromoteModelVersion(model_pb2.PromoteModelVersionRequest(name=VERSION), metadata=BANK)
    assert promoted.aliases[0].model_version.name == VERSION
    decisions = world.promotion.ListPromotionDecisions(
        promotion_pb2.ListPromotionDecisionsRequest(parent="models/mood/aliases/-"), metadata=SHOP
    )
    assert not decisions.decisions


def test_a_report_and_a_passport_name_things_as_their_reader_does(world: World) -> None:
    passport = world.passports.GetModelPassport(passport_pb2.GetModelPassportRequest(name=VERSION), metadata=SHOP)
    report = world.passports.GetEvaluationReport(passport_pb2.GetEvaluationReportRequest(name=VERSION), metadata=SHOP)
    assert "~" not in str(passport)
    assert b"shop~" not in report.content


def test_forgetting_leaves_the_rows_of_others(world: World) -> None:
    done = world.erasures.ForgetSubject(erasure_pb2.ForgetSubjectRequest(subject="p3"), metadata=SHOP_ADMIN)
    assert [name for dataset in done.datasets for name in dataset.names] == ["datasets/rows"]
    assert list(done.training_jobs) == [world.jobs[1].name]
    assert "~" not in str(done)
    counts = [
        world.suite.datasets.GetDataset(dataset_pb2.GetDatasetRequest(name="datasets/rows"), metadata=m).row_count
        for m in (BANK, SHOP)
    ]
    assert counts[0] == 24
    assert counts[1] < 24


def test_all_of_it_is_on_record(world: World) -> None:
    viewer, delete = said("vic", "bank", Role.VIEWER), dataset_pb2.DeleteDatasetRequest(name="datasets/rows")
    assert refusal(lambda: world.suite.datasets.DeleteDataset(delete, metadata=viewer))[0].name == "PERMISSION_DENIED"
    (chain,) = chains(world.suite.folder / "audit")
    # A line is written when its caller may have the answer already.
    until_sync(lambda: any(line["principal"] == "vic" for line in lines_of(chain)))
    assert list(problems_of(chain)) == []
    lines = list(lines_of(chain))
    said_of = [
        (line["principal"], line["tenant"], line["method"].rpartition("/")[2], line["outcome"]) for line in lines
    ]
    assert ("ana", "bank", "CreateDataset", "OK") in said_of
    assert ("ana", "bank", "ApproveModelVersion", "FAILED_PRECONDITION") in said_of
    assert ("ana", "bank", "CreateTrainingJob", "PERMISSION_DENIED") in said_of
    approved = next(line for line in lines if line["principal"] == "mia" and "Approve" in line["method"])
    assert approved["resources"] == ["models/bank~mood/versions/1"]
    # Who is refused for want of a role has asked for something, too.
    (refused,) = (line for line in lines if line["principal"] == "vic")
    assert (refused["outcome"], refused["resources"]) == ("PERMISSION_DENIED", ["datasets/bank~rows"])
    assert "glad" not in json.dumps(lines)
    assert "p3" not in json.dumps(lines)
