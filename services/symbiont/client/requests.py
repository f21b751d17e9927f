"""Builds the requests that both clients send, so that `sync` and `aio` differ only in how they wait."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from symbiont.api.inference.v1.inference_pb2 import Instance, PredictRequest
from symbiont.api.training.v1.base_model_pb2 import (
    BaseModel,
    BaseModelSource,
    GetBaseModelRequest,
    HuggingFaceSource,
    PackageSource,
    RegisterBaseModelRequest,
)
from symbiont.api.training.v1.dataset_pb2 import (
    DATASET_FORMAT_CSV,
    DATASET_FORMAT_JSONL,
    DATASET_FORMAT_PARQUET,
    DATASET_FORMAT_TSV,
    CreateDatasetHeader,
    CreateDatasetRequest,
    Dataset,
    DatasetFormat,
    GetDatasetRequest,
)
from symbiont.api.training.v1.model_pb2 import (
    GetModelRequest,
    GetModelVersionRequest,
    ListModelVersionsRequest,
    PromoteModelVersionRequest,
)
from symbiont.api.training.v1.training_job_pb2 import (
    CancelTrainingJobRequest,
    CreateTrainingJobRequest,
    GetTrainingJobRequest,
    TrainingJob,
    TrainingSpec,
)
from symbiont.client.names import full_name

CHUNK_BYTES = 1 << 20
# A large base model is hashed and copied, or fetched, before the call returns.
REGISTRATION_TIMEOUT_S = 600.0
UploadProgress = Callable[[int, int], None]

_FORMATS: dict[str, DatasetFormat.ValueType] = {
    "csv": DATASET_FORMAT_CSV,
    "tsv": DATASET_FORMAT_TSV,
    "jsonl": DATASET_FORMAT_JSONL,
    "ndjson": DATASET_FORMAT_JSONL,
    "parquet": DATASET_FORMAT_PARQUET,
}


def register_base_model(
    base_model_id: str,
    folder: str | Path | None,
    package: str | None,
    hugging_face: str | None,
    revision: str,
    provider: str,
    license: str,
) -> RegisterBaseModelRequest:
    """Builds a registration from exactly one source."""
    if sum(source is not None for source in (folder, package, hugging_face)) != 1:
        raise ValueError("name exactly one source: folder, package or hugging_face")
    if folder is not None:
        # The service reads it from its own working folder, not from the caller's.
        source = BaseModelSource(folder=str(Path(folder).absolute()))
    elif package is not None:
        source = BaseModelSource(package=PackageSource(package=package))
    else:
        source = BaseModelSource(hugging_face=HuggingFaceSource(repo_id=hugging_face or "", revision=revision))
    base = BaseModel(source=source, provider=provider, license=license)
    return RegisterBaseModelRequest(base_model_id=base_model_id, base_model=base)


def dataset_format(path: Path, name: str | None) -> DatasetFormat.ValueType:
    """Returns the format of that name (csv, tsv, jsonl, parquet), or the one that the file's suffix says."""
    key = (name or path.suffix.removeprefix(".")).lower()
    if key not in _FORMATS:
        raise ValueError(f"{path}: {key!r} is no dataset format; say one of csv, tsv, jsonl, parquet")
    return _FORMATS[key]


class Upload:
    """A dataset's file as the messages of a CreateDataset stream.

    Args:
        path: the file; it is opened here, so that a wrong path fails before anything is sent.
        progress: called with the bytes sent so far and in all; for a sync client, from another thread.
    """

    def __init__(self, header: CreateDatasetHeader, path: Path, progress: UploadProgress | None) -> None:
        self._header = header
        self._path = path
        self._progress = progress
        with path.open("rb"):
            self._size = path.stat().st_size

    def messages(self) -> Iterator[CreateDatasetRequest]:
        """Yields the header and then chunks of 1 MiB; may be called again to send it all again."""
        sent = 0
        yield CreateDatasetRequest(header=self._header)
        with self._path.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield CreateDatasetRequest(chunk=chunk)
                sent += len(chunk)
                if self._progress:
                    self._progress(sent, self._size)


def upload(
    dataset_id: str,
    path: str | Path,
    format: str | None,
    text_column: str,
    label_column: str,
    progress: UploadProgress | None,
) -> Upload:
    """Builds the upload of a dataset."""
    file = Path(path)
    dataset = Dataset(format=dataset_format(file, format), text_column=text_column, label_column=label_column)
    return Upload(CreateDatasetHeader(dataset_id=dataset_id, dataset=dataset), file, progress)


def create_training_job(spec: TrainingSpec, request_id: str | None) -> CreateTrainingJobRequest:
    """Builds a job. Without a request id it gets a new one, so that a retry is safe."""
    return CreateTrainingJobRequest(training_job=TrainingJob(spec=spec), request_id=request_id or uuid.uuid4().hex)


def get_base_model(name: str) -> GetBaseModelRequest:
    """Asks for a base model by id or name."""
    return GetBaseModelRequest(name=full_name("bases", name))


def get_dataset(name: str) -> GetDatasetRequest:
    """Asks for a dataset by id or name."""
    return GetDatasetRequest(name=full_name("datasets", name))


def get_training_job(name: str) -> GetTrainingJobRequest:
    """Asks for a job by id or name."""
    return GetTrainingJobRequest(name=full_name("jobs", name))


def cancel_training_job(name: str) -> CancelTrainingJobRequest:
    """Cancels a job by id or name."""
    return CancelTrainingJobRequest(name=full_name("jobs", name))


def get_model(name: str) -> GetModelRequest:
    """Asks for a model by id or name."""
    return GetModelRequest(name=full_name("models", name))


def get_model_version(name: str) -> GetModelVersionRequest:
    """Asks for a version: `models/{model}/versions/{version}`, with or without `models/`."""
    return GetModelVersionRequest(name=full_name("models", name))


def list_model_versions(model: str) -> ListModelVersionsRequest:
    """Asks for the versions of a model by id or name."""
    return ListModelVersionsRequest(parent=full_name("models", model))


def promote(model_version: str, alias: str) -> PromoteModelVersionRequest:
    """Builds a promotion."""
    return PromoteModelVersionRequest(name=full_name("models", model_version), alias=alias)


def predict(model: str, texts: Sequence[str], top_k: int) -> PredictRequest:
    """Builds a prediction of texts."""
    if isinstance(texts, str):
        raise TypeError("texts is one string; give a list of them")
    instances = [Instance(text=text) for text in texts]
    return PredictRequest(model=full_name("models", model), instances=instances, top_k=top_k)
