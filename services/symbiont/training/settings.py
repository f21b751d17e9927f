"""Settings of the training service."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from symbiont.common.artifacts import SigningKey
from symbiont.common.errors import InvalidArgument
from symbiont.common.settings import ServiceSettings
from symbiont.training.tracking import parse_trackers


class TrainingSettings(ServiceSettings):
    """What the training controller needs to run."""

    address: str = Field("127.0.0.1:50052", description="host:port that gRPC listens on")
    metrics_address: str = Field("127.0.0.1:9102", description="host:port that serves Prometheus metrics")
    database_url: str = Field(
        "sqlite:///.symbiont/symbiont.db", description="SQLAlchemy URL of the registry's database"
    )
    state_root: Path = Field(Path(".symbiont/jobs"), description="folder for the specs and logs of workers")
    controller_address: str = Field(
        "", description="host:port that workers dial, or several with commas between; empty: the address listened on"
    )
    tokenization_address: str = Field("127.0.0.1:50051", description="host:port of the tokenization service")
    worker_key: Path | None = Field(
        None,
        description="file of at least 32 random bytes that signs what workers show, the same for all controllers of a "
        "database; empty: made in state_root",
    )
    worker_tls_certificate: Path | None = Field(
        None, description="PEM file with the certificate of local workers, service/worker; needed with TLS"
    )
    worker_tls_key: Path | None = Field(None, description="PEM file with the key of worker_tls_certificate")
    max_concurrent_jobs: int = Field(1, ge=1, description="jobs that may train at the same time")
    max_jobs_per_tenant: int = Field(0, ge=0, description="of these, jobs of one tenant; 0: no limit of their own")
    price_per_rank_hour: float = Field(
        0.0, ge=0, description="what a worker process costs in an hour, for budgets and usage; 0: no price"
    )
    max_attempts: int = Field(5, ge=1, description="workers lost without a checkpoint in between that end a job")
    worker_threads: int = Field(0, ge=0, description="CPU threads of a worker; 0: as many as there are cores")
    executor: Literal["local", "ray", "kubernetes"] = Field(
        "local", description="where workers run: processes of this machine, jobs of a Ray cluster, or of Kubernetes"
    )
    suite_name: str = Field(
        "symbiont", pattern="^[a-z][a-z0-9-]{0,30}$", description="begins the names of workers on a shared cluster"
    )
    ray_address: str = Field("http://127.0.0.1:8265", description="URL of the Ray cluster's dashboard")
    ray_token: SecretStr = Field(
        SecretStr(""), description="the cluster's RAY_AUTH_TOKEN; empty where it asks for none"
    )
    ray_python: str = Field("python", description="interpreter on the machines of the Ray cluster")
    kubernetes_image: str = Field("", description="image of the workers' pods, with the same code as this service")
    kubernetes_namespace: str = Field("", description="namespace of the workers; empty: that of this pod or kubeconfig")
    kubernetes_context: str = Field("", description="context of the kubeconfig; empty: this pod's, or the current one")
    kubernetes_ranks: Literal["job", "jobset", "pytorchjob"] = Field(
        "job", description="what several ranks are: an Indexed Job, which needs no operator, a JobSet or a PyTorchJob"
    )
    kubernetes_secrets: list[str] = Field([], description="Secrets whose keys become variables of the workers, as JSON")
    kubernetes_login_secret: str = Field(
        "", description="Secret by whose keys the workers log in to Vault; it need not be there"
    )
    kubernetes_tls_secret: str = Field(
        "", description="Secret with the workers' tls.crt, tls.key and ca.crt; empty where the suite asks for none"
    )
    kubernetes_pod_template: Path | None = Field(None, description="YAML merged into each worker's pod template")
    kubernetes_grace_seconds: int = Field(120, gt=0, description="time between SIGTERM and SIGKILL of a worker's pod")
    kubernetes_keep_seconds: int = Field(86_400, ge=0, description="how long ended Jobs stay, their logs with them")
    memory_per_rank: str = Field("4Gi", description="memory that a worker's pod asks for, as Kubernetes writes it")
    gpus_per_rank: int = Field(0, ge=0, description="GPUs that a worker's pod asks for")
    cpus_per_rank: float = Field(1, gt=0, description="CPUs that a cluster sets aside for each worker process")
    worker_program: str = Field(
        "",
        description="command that gets --spec and --attempt in place of this Python's symbiont worker, as in a shell",
    )
    warm_workers: bool = Field(
        True, description="keep a process with torch loaded, to fork local workers from: a step 7 s sooner, for 470 MB"
    )
    fork_server: str = Field(
        "", description="name of such a process that several services share (python -m symbiont.training.fork_server)"
    )
    start_timeout_seconds: float = Field(
        30, gt=0, description="time for a worker to report first; more where it may have to wait for room, as on ray"
    )
    heartbeat_timeout_seconds: float = Field(60, gt=0, description="silence after which a worker counts as lost")
    poll_seconds: float = Field(0.5, gt=0, description="time between two looks at the worker processes")
    lease_seconds: float = Field(
        3.0, ge=1, description="silence after which another controller on the same database takes over the jobs of one"
    )
    checkpoint_retention_seconds: float = Field(
        86_400, ge=0, description="how long the checkpoints of a job that has ended are kept"
    )
    collect_seconds: float = Field(30, gt=0, description="time between two collections of checkpoints of no more use")
    plan_seconds: float = Field(20.0, gt=0, description="most time that the trial of a plan trains for")
    dataset_keys: Path | None = Field(
        None,
        description="folder of key files, of at least 32 bytes each, that personal data in datasets is replaced with",
    )
    signing_key: Path | None = Field(
        None, description="file of the private key that signs bundles which jobs have made; see `symbiont bundles key`"
    )
    max_dataset_bytes: int = Field(2 << 30, gt=0, description="largest upload of a dataset, in bytes")
    tenant_storage_mib: dict[str, Annotated[float, Field(ge=0)]] = Field(
        {},
        description='what tenants may store here, in MiB, as JSON by name, "*" for all others: {"bank": 20480, "*": '
        "2048}; 0, or not named: no limit",
    )
    tenant_weights: dict[str, Annotated[float, Field(gt=0)]] = Field(
        {}, description="as of inference; here they only say which tenants metrics always count by name, as JSON"
    )
    trackers: str = Field("", description="who is told of jobs besides TensorBoard, with commas between: wandb, mlflow")
    wandb_mode: Literal["offline", "online"] = Field(
        "offline", description="offline: into files, for `wandb sync`; online takes WANDB_API_KEY"
    )
    wandb_project: str = Field("symbiont", min_length=1, description="project of the runs in Weights & Biases")
    mlflow_tracking_uri: str = Field(
        "sqlite:///.symbiont/mlflow.db", min_length=1, description="MLflow's server, database or folder"
    )
    mlflow_experiment: str = Field("symbiont", min_length=1, description="experiment of the runs in MLflow")

    @field_validator("trackers")
    @classmethod
    def _trackers_are_here(cls, words: str) -> str:
        parse_trackers(words)
        return words

    @field_validator("signing_key")
    @classmethod
    def _signs(cls, path: Path | None) -> Path | None:
        try:
            if path is not None:
                SigningKey.read(path)
        except InvalidArgument as exc:
            raise ValueError(str(exc)) from exc
        return path

    @model_validator(mode="after")
    def _workers_can_dial(self) -> Self:
        if not self.controller_address and self.address.endswith(":0"):
            raise ValueError("address takes a free port, so controller_address must say where workers reach it")
        if self.executor == "kubernetes" and not self.kubernetes_image:
            raise ValueError("executor is kubernetes, so kubernetes_image must name the image of the workers")
        own = self.worker_tls_certificate and self.worker_tls_key
        if self.executor == "local" and not self.insecure and not own:
            raise ValueError(
                "local workers report with a certificate of their own (spiffe://DOMAIN/service/worker), so "
                "worker_tls_certificate and worker_tls_key must name files"
            )
        if not (self.insecure or self.worker_key or self.database_url.startswith("sqlite")):
            raise ValueError(
                "several controllers may share this database, so worker_key must name a file with the key that they "
                "share, by which they know their workers"
            )
        return self
