"""`python -m symbiont.training`: the whole wiring of the training service."""

import asyncio
from functools import partial

from symbiont.api.training.v1 import (
    base_model_pb2_grpc,
    dataset_pb2_grpc,
    model_pb2_grpc,
    training_job_pb2_grpc,
    worker_pb2_grpc,
)
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.background import running
from symbiont.common.channel import connect
from symbiont.common.log import configure_logging
from symbiont.common.server import Lifecycle, Registration, run_server
from symbiont.training.controller import Controller
from symbiont.training.convert import worker_spec_to_json
from symbiont.training.executors.local import LocalExecutor
from symbiont.training.jobs import Jobs
from symbiont.training.metrics import TrainingMetrics
from symbiont.training.models import Models
from symbiont.training.notifier import Notifier
from symbiont.training.quantization.clients import TokenizationClient
from symbiont.training.quantization.quantization import Quantization
from symbiont.training.releases import Releases
from symbiont.training.servicers.base_models import BaseModelServicer
from symbiont.training.servicers.datasets import DatasetServicer
from symbiont.training.servicers.models import ModelServicer
from symbiont.training.servicers.training_jobs import TrainingJobServicer
from symbiont.training.servicers.workers import WorkerServicer
from symbiont.training.settings import TrainingSettings
from symbiont.training.store import Store
from symbiont.training.types import Job

PACKAGE = "symbiont.training.v1"


async def run(settings: TrainingSettings) -> None:
    """Runs the service until SIGTERM."""
    lifecycle, notifier = Lifecycle(), Notifier()
    store, artifacts = Store(settings.database_url), ArtifactStore(settings.artifact_root)
    metrics = TrainingMetrics(store.count_by_state)
    jobs = Jobs(store, artifacts, notifier, lifecycle.stopping)
    models = Models(store, artifacts, notifier, lifecycle.stopping)

    def make_spec(job: Job) -> str:
        controller_address = settings.controller_address or settings.address
        return worker_spec_to_json(job, str(artifacts.root), controller_address, settings.tokenization_address)

    controller = Controller(
        store,
        jobs,
        notifier,
        LocalExecutor(settings.state_root, settings.worker_threads),
        make_spec,
        max_concurrent_jobs=settings.max_concurrent_jobs,
        max_attempts=settings.max_attempts,
        heartbeat_timeout=settings.heartbeat_timeout_seconds,
        poll_seconds=settings.poll_seconds,
    )

    tokenization = connect(settings.tokenization_address)
    quantization = Quantization(
        store,
        artifacts,
        TokenizationClient(tokenization).tokenize,
        settings.state_root / "quantization",
        settings.worker_threads,
    )
    services = [
        Registration(
            f"{PACKAGE}.BaseModelService",
            BaseModelServicer(store, artifacts, quantization),
            base_model_pb2_grpc.add_BaseModelServiceServicer_to_server,
        ),
        Registration(
            f"{PACKAGE}.DatasetService",
            DatasetServicer(store, artifacts, metrics, settings.max_dataset_bytes),
            dataset_pb2_grpc.add_DatasetServiceServicer_to_server,
        ),
        Registration(
            f"{PACKAGE}.TrainingJobService",
            TrainingJobServicer(jobs),
            training_job_pb2_grpc.add_TrainingJobServiceServicer_to_server,
        ),
        Registration(
            f"{PACKAGE}.ModelService",
            ModelServicer(store, models, Releases(store, artifacts, notifier), metrics),
            model_pb2_grpc.add_ModelServiceServicer_to_server,
        ),
        Registration(
            f"{PACKAGE}.WorkerService",
            WorkerServicer(jobs, controller, notifier, metrics, lifecycle.stopping),
            worker_pb2_grpc.add_WorkerServiceServicer_to_server,
        ),
    ]
    await asyncio.to_thread(artifacts.sweep)
    try:
        scheduling = running("scheduling", partial(controller.run, lifecycle.stopping))
        await run_server(settings, metrics, lifecycle, services, [scheduling])
    finally:
        await tokenization.close()
        store.close()


def main() -> None:
    """Reads the settings and runs the service."""
    settings = TrainingSettings.from_command_line(
        "symbiont-training", "Controls training: bases, datasets, jobs, models."
    )
    configure_logging(settings.log_level, settings.log_format, "training")
    asyncio.run(run(settings))


if __name__ == "__main__":
    main()
