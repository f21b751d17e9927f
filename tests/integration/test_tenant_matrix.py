"""Every RPC of the training service that takes a name: what another tenant has is refused as what nobody has."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from grpc_status import rpc_status

from support.guarded import GuardedProcess, said
from support.tenant_cases import TRAINING, Case, told
from support.tiny import csv_of, labelled_rows, save_base
from support.training_suite import Suite
from symbiont.api.training.v1 import base_model_pb2, dataset_pb2, model_pb2
from symbiont.api.training.v1 import training_job_pb2 as job_pb2
from symbiont.common.principal import Role

ROLES = (Role.TRAINER, Role.APPROVER, Role.ADMIN)
BANK, SHOP = said("ana", "bank", *ROLES), said("bob", "shop", *ROLES)
OPERATOR = said("ops", "", Role.OPERATOR)


class World:
    """The bank has datasets/rows, a job, and models/mood, of which a release tries the second version. Both have
    datasets/own and models/own."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        source = base_model_pb2.BaseModelSource(folder=str(save_base(suite.folder / "tiny")))
        suite.bases.RegisterBaseModel(
            base_model_pb2.RegisterBaseModelRequest(
                base_model_id="tiny", base_model=base_model_pb2.BaseModel(source=source, license="MIT")
            ),
            metadata=OPERATOR,
        )
        for name, metadata in (("rows", BANK), ("own", BANK), ("own", SHOP)):
            self.upload(name, metadata)
        jobs = [self.train(BANK, "rows", "mood", seed) for seed in (1, 2)]
        for metadata in (BANK, SHOP):
            self.train(metadata, "own", "own")
        for metadata, model in ((BANK, "mood"), (BANK, "own"), (SHOP, "own")):
            promote = model_pb2.PromoteModelVersionRequest(name=f"models/{model}/versions/1")
            suite.models.PromoteModelVersion(promote, metadata=metadata)
        self.names = {"rows": "rows", "model": "mood", "job": jobs[0], "release": self.release()}
        # As long as those.
        self.nobodys = {
            "rows": "none",
            "model": "null",
            "job": _other(jobs[0]),
            "release": _other(self.names["release"]),
        }

    def upload(self, identifier: str, metadata: Any) -> None:
        dataset = dataset_pb2.Dataset(format=dataset_pb2.DATASET_FORMAT_CSV)
        header = dataset_pb2.CreateDatasetHeader(dataset_id=identifier, dataset=dataset)
        chunk = csv_of(labelled_rows(60))
        messages = [dataset_pb2.CreateDatasetRequest(header=header), dataset_pb2.CreateDatasetRequest(chunk=chunk)]
        self.suite.datasets.CreateDataset(iter(messages), metadata=metadata)

    def train(self, metadata: Any, dataset: str, model: str, seed: int = 0) -> str:
        """Trains a version; returns the id of the job."""
        hyper = job_pb2.Hyperparameters(epochs=1, batch_size=8, max_tokens=16, seed=seed)
        names = {"dataset": f"datasets/{dataset}", "model": f"models/{model}"}
        spec = self.suite.spec(hyperparameters=hyper, head_only=job_pb2.HeadOnlyMethod(), **names)
        request = job_pb2.CreateTrainingJobRequest(training_job=job_pb2.TrainingJob(spec=spec))
        made = self.suite.jobs.CreateTrainingJob(request, metadata=metadata)
        watch = job_pb2.WatchTrainingJobRequest(name=made.name)
        events = list(self.suite.jobs.WatchTrainingJob(watch, metadata=metadata, timeout=300))
        assert events[-1].state_change.new_state == job_pb2.JOB_STATE_SUCCEEDED
        return made.name.removeprefix("jobs/")

    def release(self) -> str:
        """Begins a release; returns its id."""
        release = model_pb2.Release(candidate="models/mood/versions/2", weight=10)
        request = model_pb2.CreateReleaseRequest(parent="models/mood/aliases/production", release=release)
        return str(self.suite.models.CreateRelease(request, metadata=BANK).name.rpartition("/")[2])

    def ask(self, case: Case, metadata: Any, names: dict[str, str]) -> tuple[str, str, list[str]]:
        """Returns how a call ends, or the first that it answers; with all that its caller can see of it."""
        call = self.suite.channel.stream_stream(case.method)(
            iter([case.request(names).SerializeToString()]), metadata=metadata, timeout=120
        )
        try:
            answer = str(next(call, b""))
            return told("OK", answer, (), names)
        except grpc.RpcError:
            seen = (*call.initial_metadata(), *call.trailing_metadata())
            return told(call.code().name, str(rpc_status.from_call(call)), seen, names)
        finally:
            call.cancel()


def _other(identifier: str) -> str:
    """Returns an id of the same form and length that nothing has."""
    kind, _, rest = identifier.partition("-")
    return f"{kind}-{'0' * len(rest)}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    suite = Suite(tmp_path_factory.mktemp("matrix"), GuardedProcess, test_trusted=1, plan_seconds=1)
    suite.tokenization.start()
    suite.training.start()
    yield World(suite)
    suite.stop()


@pytest.mark.parametrize("case", TRAINING, ids=str)
def test_what_another_has_is_refused_as_what_nobody_has(world: World, case: Case) -> None:
    theirs = world.ask(case, SHOP, world.names)
    assert theirs == world.ask(case, SHOP, world.nobodys)
    assert theirs[0] == case.code
    assert "bank" not in theirs[1]


def test_its_own_is_there_for_each(world: World) -> None:
    """After all that another one has asked for, and in this order: the last ones take away what they name."""
    ends = {str(case): world.ask(case, BANK, world.names)[:2] for case in TRAINING}
    refused = ("NOT_FOUND", "PERMISSION_DENIED", "UNAUTHENTICATED")
    assert {name: end for name, end in ends.items() if end[0] in refused} == {}
    assert sum(code == "OK" for code, _ in ends.values()) > len(ends) / 2
