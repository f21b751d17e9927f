"""`python -m symbiont.training`: the whole wiring of the training service."""

import asyncio
import os
import socket
import uuid
from collections.abc import Sequence
from functools import partial

from symbiont.api.training.v1 import (
    base_model_pb2_grpc,
    dataset_pb2_grpc,
    erasure_pb2_grpc,
    model_pb2_grpc,
    passport_pb2_grpc,
    promotion_pb2_grpc,
    training_job_pb2_grpc,
    worker_pb2_grpc,
)
from symbiont.common.artifacts import ArtifactStore, SigningKey, hand_over
from symbiont.common.background import running
from symbiont.common.channel import connect
from symbiont.common.encryption import tenant_of
from symbiont.common.exporting import exported
from symbiont.common.log import configure_logging
from symbiont.common.server import Lifecycle, Registration, run_server
from symbiont.common.tracing import TRACEPARENT, Tracing, outgoing_if_kept
from symbiont.training.collector import Collector
from symbiont.training.controller import Controller, Rules
from symbiont.training.convert import reports_from_records, worker_spec_to_json
from symbiont.training.erasure.erasure import Forgetting
from symbiont.training.executors import WorkerName
from symbiont.training.executors.choosing import make_executor, make_fork_server
from symbiont.training.executors.local import LocalExecutor
from symbiont.training.gate.gate import DataGate
from symbiont.training.jobs import Jobs
from symbiont.training.judging.judging import Judging
from symbiont.training.listening import listen
from symbiont.training.logs import Logs
from symbiont.training.metrics import TrainingMetrics
from symbiont.training.models import Models
from symbiont.training.notifier import Notifier
from symbiont.training.passes import Passes, read_key
from symbiont.training.passport.passport import Passports
from symbiont.training.planning.planning import Planning
from symbiont.training.planning.planning import Terms as PlanTerms
from symbiont.training.promotion.promotion import Promotion
from symbiont.training.quantization.clients import TokenizationClient
from symbiont.training.quantization.quantization import Quantization
from symbiont.training.releases import Releases
from symbiont.training.servicers.base_models import BaseModelServicer
from symbiont.training.servicers.datasets import DatasetServicer
from symbiont.training.servicers.erasure import ErasureServicer
from symbiont.training.servicers.models import ModelServicer
from symbiont.training.servicers.passport import PassportServicer
from symbiont.training.servicers.promotion import PromotionServicer
from symbiont.training.servicers.training_jobs import TrainingJobServicer
from symbiont.training.servicers.workers import WorkerServicer
from symbiont.training.settings import TrainingSettings
from symbiont.training.spooling import read_records
from symbiont.training.storage import Storage
from symbiont.training.store import Places, Store
from symbiont.training.store.lock import ControllerLock
from symbiont.training.tracking import Options, make_trackers
from symbiont.training.tracking.follower import Telling
from symbiont.training.tracking.tracking import Tracking
from symbiont.training.types import Job, WorkerReport
from symbiont.training.vouching import Vouching

PACKAGE = "symbiont.training.v1"


async def run(settings: TrainingSettings, tracing: Tracing) -> None:
    """Runs the service until SIGTERM."""
    lifecycle, notifier = Lifecycle(), Notifier()
    lock = ControllerLock(settings.database_url)
    artifacts = ArtifactStore(settings.artifact_root, trust=settings.trust())
    store = Store(settings.database_url, settings.max_attempts, artifacts.seals)
    unsigned, key = ArtifactStore(settings.artifact_root), settings.signing_key
    vouch = Vouching(unsigned, SigningKey.read(key)).vouch if key else None
    metrics = TrainingMetrics(store, settings.tenant_weights)
    storage = Storage(store, unsigned, settings.tenant_storage_mib)
    jobs = Jobs(
        store,
        artifacts,
        notifier,
        price_per_rank_hour=settings.price_per_rank_hour,
        succeeded=metrics.compare_with_plan,
        lost=metrics.attempts_lost.inc,
        # A program of somebody else's may have packages of its own.
        packages_here=settings.executor == "local" and not settings.worker_program,
        vouch=vouch,
        room=storage.room,
    )
    models = Models(store, artifacts, notifier, lifecycle.stopping)

    passes = Passes(read_key(settings.worker_key, settings.state_root), required=not settings.insecure)

    def make_spec(job: Job) -> str:
        spec = worker_spec_to_json(
            job,
            str(artifacts.root),
            settings.controller_address or settings.address,
            settings.tokenization_address,
            settings.tracing_endpoint,
            outgoing_if_kept().get(TRACEPARENT, ""),
            # A plan is no attempt, and reports to nobody.
            passes.sign(job.id, job.attempt) if job.attempt else "",
        )
        return hand_over(artifacts, spec, tenant_of(job.id))

    owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    rules = Rules(
        owner,
        not store.shared,
        Places(settings.max_concurrent_jobs, settings.max_jobs_per_tenant),
        settings.start_timeout_seconds,
        settings.heartbeat_timeout_seconds,
        settings.poll_seconds,
        settings.lease_seconds,
    )
    fork_server = make_fork_server(settings)
    executor = make_executor(settings, fork_server)

    def left_behind(name: WorkerName) -> Sequence[WorkerReport]:
        # Elsewhere, what a worker has left is out of sight.
        if not isinstance(executor, LocalExecutor):
            return ()
        return reports_from_records(read_records(executor.spool(name), artifacts.seals))

    controller = Controller(store, jobs, notifier, executor, make_spec, rules, left_behind, tracing)
    collector = Collector(
        store,
        artifacts,
        metrics,
        every=settings.collect_seconds,
        retention=settings.checkpoint_retention_seconds,
    )

    tokenization = connect(settings.tokenization_address, settings.outgoing)
    quantization = Quantization(
        store,
        artifacts,
        TokenizationClient(tokenization).tokenize,
        settings.state_root / "quantization",
        settings.worker_threads,
    )
    terms = PlanTerms(
        settings.max_concurrent_jobs,
        settings.worker_threads,
        settings.price_per_rank_hour,
        settings.plan_seconds,
        elsewhere=settings.executor != "local",
    )
    judging = Judging(settings.state_root / "judging", settings.worker_threads, fork_server)
    promotion = Promotion(store, artifacts, judging, settings.tokenization_address)
    planning = Planning(store, artifacts, notifier, make_spec, settings.state_root / "planning", terms, fork_server)
    gate = DataGate(store, artifacts, settings.state_root / "gate", settings.dataset_keys, fork_server, storage.room)
    tracking = Tracking(
        store,
        make_trackers(
            settings.trackers,
            Options(
                settings.state_root.parent,
                settings.wandb_mode,
                settings.wandb_project,
                settings.mlflow_tracking_uri,
                settings.mlflow_experiment,
            ),
        ),
        Telling(owner, not store.shared),
        lambda name: metrics.tracker_failures.labels(name).inc(),
    )
    forgetting = Forgetting(store, artifacts, jobs, gate)
    services = [
        Registration(
            f"{PACKAGE}.BaseModelService",
            BaseModelServicer(store, artifacts, quantization),
            base_model_pb2_grpc.add_BaseModelServiceServicer_to_server,
        ),
        Registration(
            f"{PACKAGE}.DatasetService",
            DatasetServicer(store, artifacts, metrics, gate, settings.max_dataset_bytes, storage.room),
            dataset_pb2_grpc.add_DatasetServiceServicer_to_server,
        ),
        Registration(
            f"{PACKAGE}.TrainingJobService",
            TrainingJobServicer(jobs, planning, Logs(jobs, executor, lifecycle.stopping)),
            training_job_pb2_grpc.add_TrainingJobServiceServicer_to_server,
        ),
        Registration(
            f"{PACKAGE}.ModelService",
            ModelServicer(store, models, Releases(store, artifacts, notifier), metrics),
            model_pb2_grpc.add_ModelServiceServicer_to_server,
        ),
        Registration(
            f"{PACKAGE}.PromotionService",
            PromotionServicer(promotion),
            promotion_pb2_grpc.add_PromotionServiceServicer_to_server,
        ),
        Registration(
            f"{PACKAGE}.PassportService",
            PassportServicer(store, Passports(store, artifacts)),
            passport_pb2_grpc.add_PassportServiceServicer_to_server,
        ),
        Registration(
            f"{PACKAGE}.ErasureService",
            ErasureServicer(forgetting),
            erasure_pb2_grpc.add_ErasureServiceServicer_to_server,
        ),
        Registration(
            f"{PACKAGE}.WorkerService",
            WorkerServicer(jobs, notifier, metrics, lifecycle.stopping, passes),
            worker_pb2_grpc.add_WorkerServiceServicer_to_server,
        ),
    ]
    await asyncio.to_thread(artifacts.sweep)
    await asyncio.to_thread(forgetting.resume)
    try:
        background = [
            running("scheduling", partial(controller.run, lifecycle.stopping)),
            running("leases", partial(controller.keep_leases, lifecycle.stopping)),
            running("collecting", partial(collector.run, lifecycle.stopping)),
            running("storage", partial(storage.run, lifecycle.stopping, settings.collect_seconds, metrics.show_stored)),
            running("tracking", partial(tracking.run, lifecycle.stopping)),
            running("watchers", partial(_send_home, jobs, lifecycle.stopping)),
        ]
        if store.shared:
            background.append(running("listening", partial(listen, store.url, notifier)))
        await run_server(settings, metrics, lifecycle, services, background, tracing)
    finally:
        await tokenization.close()
        if fork_server:
            fork_server.close()
        store.close()
        lock.release()


async def _send_home(jobs: Jobs, stopping: asyncio.Event) -> None:
    """Ends the streams of watchers when the service stops."""
    await stopping.wait()
    jobs.feed.stop()


def main() -> None:
    """Reads the settings and runs the service."""
    settings = TrainingSettings.from_command_line(
        "symbiont-training", "Controls training: bases, datasets, jobs, models."
    )
    configure_logging(settings.log_level, settings.log_format, "training")
    with exported("training", settings.tracing_endpoint, settings.tracing_sample_ratio) as tracing:
        asyncio.run(run(settings, tracing))


if __name__ == "__main__":
    main()
