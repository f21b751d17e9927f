"""The training service with real workers and real tokenization, over one folder."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil

from support.service import ServiceProcess
from support.waiting import until_sync
from symbiont.api.training.v1 import (
    base_model_pb2,
    base_model_pb2_grpc,
    dataset_pb2,
    dataset_pb2_grpc,
    model_pb2,
    model_pb2_grpc,
    training_job_pb2,
    training_job_pb2_grpc,
    worker_pb2_grpc,
)


class Suite:
    """Tokenization and training over one folder, with stubs and short forms of the calls."""

    def __init__(self, folder: Path, training: type[ServiceProcess] = ServiceProcess, **settings: object) -> None:
        """`settings` are those of the training service, beside or in place of the usual ones."""
        self.folder = folder
        artifacts = folder / "artifacts"
        self.tokenization = ServiceProcess("tokenization", folder, artifact_root=artifacts)
        usual: dict[str, object] = {
            "artifact_root": artifacts,
            "database_url": f"sqlite:///{folder}/symbiont.db",
            "state_root": folder / "jobs",
            "tokenization_address": self.tokenization.address,
            "poll_seconds": 0.25,
            "worker_threads": 1,
        }
        self.training = training("training", folder, **usual | settings)
        self.channel = grpc.insecure_channel(
            self.training.address,
            options=[("grpc.max_reconnect_backoff_ms", 200), ("grpc.initial_reconnect_backoff_ms", 50)],
        )
        self.bases = base_model_pb2_grpc.BaseModelServiceStub(self.channel)
        self.datasets = dataset_pb2_grpc.DatasetServiceStub(self.channel)
        self.jobs = training_job_pb2_grpc.TrainingJobServiceStub(self.channel)
        self.models = model_pb2_grpc.ModelServiceStub(self.channel)
        self.workers = worker_pb2_grpc.WorkerServiceStub(self.channel)

    def stop(self) -> None:
        """Stops both services, and then their workers: those outlive a controller, which none takes up again here."""
        self.channel.close()
        self.training.stop()
        self.tokenization.stop()
        for process in psutil.process_iter(["cmdline"]):
            if f"{self.folder}/" in " ".join(process.info["cmdline"] or []):
                process.kill()

    def register(self, source: Path, identifier: str = "tiny") -> base_model_pb2.BaseModel:
        model = base_model_pb2.BaseModel(source=base_model_pb2.BaseModelSource(folder=str(source)), license="MIT")
        return self.bases.RegisterBaseModel(
            base_model_pb2.RegisterBaseModelRequest(base_model_id=identifier, base_model=model)
        )

    def upload(
        self, identifier: str, content: bytes, format: Any = dataset_pb2.DATASET_FORMAT_CSV, byte_count: int = 0
    ) -> dataset_pb2.Dataset:
        dataset = dataset_pb2.Dataset(format=format)
        header = dataset_pb2.CreateDatasetHeader(dataset_id=identifier, dataset=dataset, byte_count=byte_count)
        chunks = [content[i : i + 1000] for i in range(0, len(content), 1000)]
        messages = [dataset_pb2.CreateDatasetRequest(header=header)]
        messages += [dataset_pb2.CreateDatasetRequest(chunk=chunk) for chunk in chunks]
        return self.datasets.CreateDataset(iter(messages))

    def spec(self, **changes: Any) -> training_job_pb2.TrainingSpec:
        values = {"base_model": "bases/tiny", "dataset": "datasets/rows", "model": "models/mood", **changes}
        return training_job_pb2.TrainingSpec(**values)

    def create(
        self, request_id: str = "", terms: dict[str, Any] | None = None, **changes: Any
    ) -> training_job_pb2.TrainingJob:
        job = training_job_pb2.TrainingJob(spec=self.spec(**changes), **terms or {})
        return self.jobs.CreateTrainingJob(
            training_job_pb2.CreateTrainingJobRequest(training_job=job, request_id=request_id)
        )

    def get(self, name: str) -> training_job_pb2.TrainingJob:
        return self.jobs.GetTrainingJob(training_job_pb2.GetTrainingJobRequest(name=name), wait_for_ready=True)

    def watch(self, name: str, after: int = 0) -> Iterator[training_job_pb2.TrainingEvent]:
        request = training_job_pb2.WatchTrainingJobRequest(name=name, after_event_id=after)
        return iter(self.jobs.WatchTrainingJob(request, wait_for_ready=True, timeout=120))

    def states(self, name: str) -> list[str]:
        changes = [e.state_change for e in self.watch(name) if e.WhichOneof("event") == "state_change"]
        return [training_job_pb2.JobState.Name(c.new_state).removeprefix("JOB_STATE_") for c in changes]

    def watch_long(self, name: str) -> Iterator[str]:
        """Yields the states of a job until it has ended, however long it takes."""
        request = training_job_pb2.WatchTrainingJobRequest(name=name)
        for event in self.jobs.WatchTrainingJob(request, wait_for_ready=True, timeout=500):
            if event.WhichOneof("event") == "state_change":
                name = training_job_pb2.JobState.Name(event.state_change.new_state)
                yield name.removeprefix("JOB_STATE_")

    def worker(self, name: str, attempt: int) -> psutil.Process:
        """Waits until the worker of an attempt has trained a step, and returns its process."""
        until_sync(lambda: self.get(name).attempt == attempt and self.get(name).progress.step > 0, 60)
        (mark,) = (self.folder / "jobs" / name.removeprefix("jobs/")).glob(f"attempt-{attempt}/worker.json")
        return psutil.Process(int(json.loads(mark.read_text())["pid"]))

    def events(self, name: str) -> list[training_job_pb2.TrainingEvent]:
        """Returns the events that a job has had so far."""
        found: list[training_job_pb2.TrainingEvent] = []
        while True:
            after = found[-1].event_id if found else 0
            request = training_job_pb2.ListTrainingEventsRequest(name=name, after_event_id=after, page_size=1000)
            page = self.jobs.ListTrainingEvents(request, wait_for_ready=True).events
            if not page:
                return found
            found += page

    def bundle(self, job: str) -> Path:
        """Returns the folder of the bundle that a job has made."""
        request = model_pb2.GetModelVersionRequest(name=self.get(job).model_version)
        version = self.models.GetModelVersion(request, wait_for_ready=True)
        return self.folder / "artifacts/bundles" / version.bundle_digest

    def weights_digest(self, job: str) -> str:
        """Returns the SHA-256 over the weights that a job has made."""
        files = sorted(self.bundle(job).glob("*.safetensors"))
        assert files
        return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
