"""Settings of the training service."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from symbiont.common.settings import ServiceSettings


class TrainingSettings(ServiceSettings):
    """What the training controller needs to run."""

    address: str = Field("127.0.0.1:50052", description="host:port that gRPC listens on")
    metrics_address: str = Field("127.0.0.1:9102", description="host:port that serves Prometheus metrics")
    database_url: str = Field(
        "sqlite:///.symbiont/symbiont.db", description="SQLAlchemy URL of the registry's database"
    )
    state_root: Path = Field(Path(".symbiont/jobs"), description="folder for the specs and logs of workers")
    controller_address: str = Field("", description="host:port that workers dial; empty: the address listened on")
    tokenization_address: str = Field("127.0.0.1:50051", description="host:port of the tokenization service")
    max_concurrent_jobs: int = Field(1, ge=1, description="jobs that may train at the same time")
    max_attempts: int = Field(5, ge=1, description="workers lost without a checkpoint in between that end a job")
    worker_threads: int = Field(0, ge=0, description="CPU threads of a worker; 0: as many as there are cores")
    heartbeat_timeout_seconds: float = Field(60, gt=0, description="silence after which a worker counts as lost")
    poll_seconds: float = Field(0.5, gt=0, description="time between two looks at the worker processes")
    max_dataset_bytes: int = Field(2 << 30, gt=0, description="largest upload of a dataset, in bytes")

    @model_validator(mode="after")
    def _workers_can_dial(self) -> Self:
        if not self.controller_address and self.address.endswith(":0"):
            raise ValueError("address takes a free port, so controller_address must say where workers reach it")
        return self
