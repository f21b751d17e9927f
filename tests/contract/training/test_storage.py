"""A tenant that has stored all that it may is told so before any work; its neighbour is not."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.request import urlopen

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from support.guarded import GuardedProcess, said
from support.tiny import csv_of, labelled_rows, save_base
from support.training_suite import Suite
from support.waiting import until_sync
from symbiont.api.training.v1 import base_model_pb2, dataset_pb2
from symbiont.api.training.v1 import training_job_pb2 as job_pb2
from symbiont.common.principal import Role
from symbiont.training.data.rows import Row, row_to_line

# The one has stored all that it may, the next may store half as much again, the last has room.
FULL, NEARLY, FREE = (said("ana", tenant, Role.TRAINER) for tenant in ("full", "nearly", "free"))
OPERATOR = said("ops", "", Role.OPERATOR)
SMALL, LARGE = csv_of(labelled_rows(40)), csv_of(labelled_rows(400))
STORED = sum(len(row_to_line(Row(*row))) for row in labelled_rows(40))
MIB = 1 << 20


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """In which each of the three has the same rows."""
    folder = tmp_path_factory.mktemp("storage")
    limits = json.dumps({"full": STORED / MIB, "nearly": 1.5 * STORED / MIB, "*": 64})
    suite = Suite(folder, GuardedProcess, tenant_storage_mib=limits, collect_seconds=0.2, test_trusted=1)
    suite.tokenization.start()
    suite.training.start()
    source = base_model_pb2.BaseModelSource(folder=str(save_base(folder / "tiny")))
    suite.bases.RegisterBaseModel(
        base_model_pb2.RegisterBaseModelRequest(
            base_model_id="tiny", base_model=base_model_pb2.BaseModel(source=source, license="MIT")
        ),
        metadata=OPERATOR,
    )
    for metadata in (FULL, NEARLY, FREE):
        upload(suite, "rows", SMALL, metadata)
    yield suite
    suite.channel.close()
    assert [suite.training.stop(), suite.tokenization.stop()] == [0, 0]


def upload(suite: Suite, identifier: str, content: bytes, metadata: Any, byte_count: int = 0) -> dataset_pb2.Dataset:
    dataset = dataset_pb2.Dataset(format=dataset_pb2.DATASET_FORMAT_CSV)
    header = dataset_pb2.CreateDatasetHeader(dataset_id=identifier, dataset=dataset, byte_count=byte_count)
    messages = [dataset_pb2.CreateDatasetRequest(header=header)]
    messages += [dataset_pb2.CreateDatasetRequest(chunk=content[i : i + 500]) for i in range(0, len(content), 500)]
    return suite.datasets.CreateDataset(iter(messages), metadata=metadata)


def prepare(suite: Suite, identifier: str, metadata: Any) -> None:
    request = dataset_pb2.PrepareDatasetRequest(name="datasets/rows", dataset_id=identifier)
    request.transforms.add(clean=dataset_pb2.CleanTransform())
    list(suite.datasets.PrepareDataset(request, metadata=metadata, timeout=120))


def split(suite: Suite, metadata: Any) -> None:
    request = dataset_pb2.SplitDatasetRequest(name="datasets/rows", train_dataset_id="train", test_dataset_id="test")
    list(suite.datasets.SplitDataset(request, metadata=metadata, timeout=120))


def check_job(suite: Suite, metadata: Any) -> None:
    job = job_pb2.TrainingJob(spec=suite.spec())
    suite.jobs.CreateTrainingJob(
        job_pb2.CreateTrainingJobRequest(training_job=job, validate_only=True), metadata=metadata
    )


CALLS: dict[str, Callable[[Suite, Any], object]] = {
    "CreateDataset, as it comes": lambda suite, metadata: upload(suite, "large", LARGE, metadata),
    "CreateDataset, by its header": lambda suite, metadata: upload(suite, "said", LARGE, metadata, len(LARGE)),
    "PrepareDataset": lambda suite, metadata: prepare(suite, "clean", metadata),
    "SplitDataset": split,
}


def refused(call: Callable[[], object]) -> str:
    """Returns the text of a refusal for want of room."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    status = rpc_status.from_call(caught.value)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (caught.value.code(), info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TENANT_STORAGE")
    return str(status.message)


@pytest.mark.parametrize("tenant", [FULL, NEARLY], ids=["full", "nearly"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_what_does_not_fit_is_refused_and_leaves_nothing(
    suite: Suite, call: Callable[[Suite, Any], object], tenant: Any
) -> None:
    stored = sorted((suite.folder / "artifacts/datasets").iterdir())
    text = refused(lambda: call(suite, tenant))
    assert re.search(r"the tenant stores .* of .* MiB \(datasets .*\).*: delete datasets", text)
    assert sorted((suite.folder / "artifacts/datasets").iterdir()) == stored
    names = suite.datasets.ListDatasets(dataset_pb2.ListDatasetsRequest(), metadata=tenant).datasets
    assert [dataset.name for dataset in names] == ["datasets/rows"]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_their_neighbour_is_unhurt(suite: Suite, call: Callable[[Suite, Any], object]) -> None:
    call(suite, FREE)


def test_who_is_full_begins_no_job_until_something_is_deleted(suite: Suite) -> None:
    until_sync(lambda: stored_bytes(suite).get("full") == STORED)
    assert stored_bytes(suite)["nearly"] == STORED
    refused(lambda: check_job(suite, FULL))
    check_job(suite, NEARLY)
    suite.datasets.DeleteDataset(dataset_pb2.DeleteDatasetRequest(name="datasets/rows"), metadata=FULL)
    until_sync(lambda: "full" not in stored_bytes(suite))
    upload(suite, "rows", SMALL, FULL)
    refused(lambda: check_job(suite, FULL))


def stored_bytes(suite: Suite) -> dict[str, int]:
    """Returns what the metrics say."""
    with urlopen(f"http://{suite.training.metrics_address}/metrics") as page:
        text = page.read().decode()
    found = re.findall(r'^symbiont_training_tenant_stored_bytes\{tenant="(\w*)"\} (\S+)$', text, re.MULTILINE)
    return {tenant: int(float(size)) for tenant, size in found}
