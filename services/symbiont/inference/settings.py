"""Settings of the inference service."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from symbiont.common.artifacts import is_url
from symbiont.common.settings import ArtifactRoot, ServiceSettings
from symbiont.engine.settings import Precision, RuntimeName
from symbiont.triton.addresses import Addresses
from symbiont.triton.placement import Spread
from symbiont.triton.servers import Watching


class TenantRate(BaseModel):
    """What a tenant may ask for in a second."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    calls: float | None = Field(None, gt=0)
    tokens: float | None = Field(None, gt=0)


class InferenceSettings(ServiceSettings):
    """What the inference service needs to run."""

    address: str = Field("127.0.0.1:50053", description="host:port that gRPC listens on; port 0 takes a free one")
    metrics_address: str = Field("127.0.0.1:9103", description="host:port that serves Prometheus metrics")
    tokenization_address: str = Field("127.0.0.1:50051", description="host:port of the tokenization service")
    training_address: str = Field("127.0.0.1:50052", description="host:port of the training service: the registry")
    triton_address: str = Field(
        "127.0.0.1:8001",
        description="host:port of Triton's gRPC endpoint; of several servers with commas between, or as "
        "dns:///name:port, each IP address of the name being one",
    )
    triton_resolve_seconds: float = Field(2.0, gt=0, description="time between two resolutions of dns:///name:port")
    triton_base_servers: int = Field(
        0, ge=0, description="Triton servers that hold a base, where there are several; 0: all of them"
    )
    triton_bundle_servers: int = Field(
        1, gt=0, description="Triton servers that the rows of one bundle are spread over, where there are several"
    )
    max_instances: int = Field(1024, gt=0, description="most instances in a call")
    max_text_bytes: int = Field(256 << 10, gt=0, description="largest text, in bytes of UTF-8")
    max_stream_calls: int = Field(32, gt=0, description="calls of one stream that run at a time")
    default_timeout_seconds: float = Field(30.0, gt=0, description="longest that a call may take, whatever it asks for")
    cached_versions: int = Field(10_000, gt=0, description="most model versions and bundle manifests held in memory")
    catalogue_memory_bytes: int = Field(
        512 << 20, gt=0, description="memory for catalogues that are searched, in bytes"
    )
    exact_catalogue_entries: int = Field(
        100_000, ge=0, description="entries up to which all of a catalogue are compared; beyond, faiss is needed"
    )
    max_catalogue_entries: int = Field(2_000_000, gt=0, description="most entries of a catalogue")
    max_catalogue_imports: int = Field(4, gt=0, description="imports that run at a time; more get RESOURCE_EXHAUSTED")
    catalogue_versions_kept: int = Field(3, gt=1, description="versions of a catalogue that stay, the newest ones")
    catalogue_batch_texts: int = Field(64, gt=0, description="most texts of a catalogue in one prediction")
    catalogue_patience_seconds: float = Field(
        60.0, gt=0, description="how long an import waits for tokenization or Triton to come back"
    )
    host_check_seconds: float = Field(1.0, gt=0, description="time between two looks at the hosts in Triton")
    warm_ups_at_once: int = Field(2, gt=0, description="versions that answer a first row at a time")
    warm_up_timeout_seconds: float = Field(60.0, gt=0, description="longest that the try of a first row may take")
    kept_disagreements: int = Field(
        1000, gt=0, description="rows kept that a shadow labelled otherwise than the version that answered"
    )
    host_artifact_root: ArtifactRoot | None = Field(
        None, description="root of the artifact store as Triton sees it, where that differs from artifact_root"
    )
    host_device: str = Field("cpu", description="where hosts compute: cpu, cuda, cuda:1 or auto")
    host_runtime: RuntimeName = Field(
        "auto", description="what hosts compute with: torch, openvino (CPU only), or auto: openvino on CPU, else torch"
    )
    host_precision: Precision = Field(
        "auto",
        description="of a host's arithmetic: fp32; bf16, in openvino where the CPU has it; int8, in openvino, for "
        "bundles that may; auto: bf16 where CPU or GPU has it, and int8 for bundles that may where it is fast",
    )
    host_threads: int = Field(0, ge=0, description="threads that compute in a host; 0 leaves it to the runtime")
    host_bundles: int = Field(64, gt=0, description="bundles that a host keeps in memory")
    host_requests: int = Field(
        2, gt=0, description="requests that a host has at a time; all other rows wait here, in the order of their turns"
    )
    request_rows: int = Field(256, gt=0, description="most rows that are sent to a host in one request")
    request_tokens: int = Field(16384, gt=0, description="most tokens that are sent to a host in one request")
    request_seconds: float = Field(
        0.1, gt=0, description="about the longest that a host computes one request, as far as its speed is known"
    )
    spare_lanes: int = Field(
        1,
        ge=0,
        description="lanes of a host that a tenant who floods it leaves to others who come by with little; 0: none, "
        "which is more work done and longer waits for the others",
    )
    max_queued_tokens: int = Field(
        1 << 20, gt=0, description="most tokens that wait for a host; beyond that calls are turned away"
    )
    tenant_weights: dict[str, Annotated[float, Field(gt=0)]] = Field(
        {}, description="shares of tenants, as JSON by name; those that are not named have 1"
    )
    tenant_rates: dict[str, TenantRate] = Field(
        {},
        description='what tenants may ask of this process in a second, as JSON by name: {"bank": {"calls": 50, '
        '"tokens": 20000}}; those that are not named have no limit',
    )
    metrics_tenants: int = Field(
        50, ge=0, description="tenants with a label of their own in metrics beside those with a weight: who use most"
    )
    batch_share: float = Field(
        1 / 16, gt=0, lt=1, description="part of the work that calls of priority BATCH get while others wait"
    )
    tokenization_requests: int = Field(
        2, gt=0, description="calls of the tokenization service at a time; texts that come meanwhile go together"
    )
    generation_backend: Literal["symbiont", "vllm"] = Field(
        "symbiont", description="what generates text in Triton: Symbiont's engine, or Triton's vLLM backend"
    )
    generation_timeout_seconds: float = Field(300.0, gt=0, description="longest that a Generate may take")
    generation_sequences: int = Field(16, gt=0, description="texts that a language model generates at a time")
    generation_waiting: int = Field(64, gt=0, description="texts that may wait for that; more get RESOURCE_EXHAUSTED")
    generation_token_budget: int = Field(
        16_384, gt=0, description="tokens of all texts that a language model generates at a time, prompts included"
    )
    generation_vllm_arguments: dict[str, Any] = Field(
        {}, description="more arguments of vLLM's engine, as a JSON object"
    )
    cache_mib: int = Field(
        0, ge=0, description="memory of the response cache, where each tenant has answers of its own; 0: no cache"
    )
    cache_seconds: float = Field(3600.0, gt=0, description="longest that the response cache keeps an answer")

    @property
    def spread(self) -> Spread:
        """Over how many Triton servers work is spread."""
        return Spread(self.triton_base_servers, self.triton_bundle_servers)

    @property
    def watching(self) -> Watching:
        """How Triton servers are looked after."""
        return Watching(resolve_s=self.triton_resolve_seconds, drain_s=self.default_timeout_seconds)

    @field_validator("triton_address")
    @classmethod
    def _names_servers(cls, value: str) -> str:
        Addresses.parse(value)
        return value

    @model_validator(mode="after")
    def _vllm_has_a_folder(self) -> Self:
        root = self.host_artifact_root or self.artifact_root
        if self.generation_backend == "vllm" and is_url(root):
            raise ValueError(f"vLLM reads bases from a folder, not from {root}: set host_artifact_root to one")
        return self
