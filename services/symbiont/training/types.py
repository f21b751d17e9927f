"""The resources of the training service as plain values."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from symbiont.common.licenses import LicenseTerms
from symbiont.training.spec import TrainingSpec


def now() -> datetime:
    """Returns the time, in UTC."""
    return datetime.now(UTC)


class JobState(StrEnum):
    """Where a job stands; the names are those of the proto without their prefix."""

    VALIDATING = "VALIDATING"
    QUEUED = "QUEUED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    PAUSING = "PAUSING"
    PAUSED = "PAUSED"
    RECOVERING = "RECOVERING"
    EVALUATING = "EVALUATING"
    CANCELLING = "CANCELLING"
    SUCCEEDED = "SUCCEEDED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to the job."""
        return self in (JobState.SUCCEEDED, JobState.CANCELLED, JobState.FAILED)


class FailureKind(StrEnum):
    """What kind of failure ended a job."""

    DATA = "DATA"
    CONFIG = "CONFIG"
    OOM = "OOM"
    INFRA = "INFRA"
    CODE = "CODE"
    BUDGET = "BUDGET"
    TIMEOUT = "TIMEOUT"


@dataclass(frozen=True)
class Source:
    """Where a base model comes from: `kind` is `folder`, `package`, `hugging_face` or `training_job`."""

    kind: str
    location: str
    detail: str = ""


# Of jobs that say no tenant.
NO_TENANT = "default"
# Families of encoders of transformers that take keys and values of earlier tokens.
WITH_PAST = {"bert", "camembert", "electra", "ernie", "roberta", "xlmroberta", "xlm-roberta"}


@dataclass(frozen=True)
class BaseModel:
    """A registered model. `modules` are the leaf names of its linear layers, which adapters may target.

    `kind` is `encoder`, which bundles live on, or `causal` or `seq2seq`, which generate; these have no `pooling`.
    """

    id: str
    source: Source
    provider: str
    license: str
    digest: str
    tokenizer_digest: str
    architecture: str
    hidden_size: int
    parameter_count: int
    max_tokens: int
    pooling: str
    modules: tuple[str, ...]
    kind: str = "encoder"
    # Of its newest quantised form; empty for none.
    quantized_digest: str = ""
    # Id and digest of the base that it was derived from; empty for one that was registered.
    parent: str = ""
    parent_digest: str = ""
    # Whether it was adapted on rows that were erased since.
    trained_on_erased: bool = False
    terms: LicenseTerms = field(default_factory=LicenseTerms)
    create_time: datetime = field(default_factory=now)

    @property
    def methods(self) -> tuple[str, ...]:
        """What may be trained on it, by the names of the proto without their prefix."""
        if self.kind != "encoder":
            return ()
        # An adapter needs a linear layer to sit on, a prefix an attention that takes keys and values from before.
        on_layers = ("LORA", "ADALORA", "HOULSBY", "BITFIT") if self.modules else ()
        return ("HEAD_ONLY", *on_layers, *(("PREFIX",) if self._family in WITH_PAST else ()), "FULL")

    @property
    def _family(self) -> str:
        """`bert` of BertModel, of BertForMaskedLM, and of a bare model type."""
        return re.split(r"Model$|For[A-Z]", self.architecture)[0].lower()

    def has_module(self, end: str) -> bool:
        """Whether a linear layer's name may end so: its last part is known."""
        return end.rpartition(".")[2] in self.modules


class QuantizationStage(StrEnum):
    """What a quantisation is at; the names are those of the proto without their prefix."""

    TOKENIZING = "TOKENIZING"
    LOADING = "LOADING"
    QUANTIZING = "QUANTIZING"
    STORING = "STORING"


class PlanStage(StrEnum):
    """What a plan is at; the names are those of the proto without their prefix."""

    WAITING = "WAITING"
    READING = "READING"
    LOADING = "LOADING"
    TRAINING = "TRAINING"
    JUDGING = "JUDGING"


@dataclass(frozen=True)
class Dataset:
    """Rows. `label_counts` is ordered by label, `label_range` is of numbers, `fields` are (name, kind)."""

    id: str
    format: str
    text_column: str
    label_column: str
    row_count: int
    byte_count: int
    label_counts: tuple[tuple[str, int], ...]
    digest: str
    label_kind: str = "CLASS"
    label_range: tuple[float, float] = (0.0, 0.0)
    pair_column: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    group_column: str = ""
    time_column: str = ""
    subject_column: str = ""
    create_time: datetime = field(default_factory=now)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, sorted."""
        return tuple(label for label, _ in self.label_counts)


@dataclass(frozen=True)
class Failure:
    """Why a job failed."""

    kind: FailureKind
    message: str


@dataclass(frozen=True)
class Progress:
    """How far a training is; fields as in the proto, `eta_seconds` in seconds."""

    step: int
    total_steps: int
    epoch: float
    loss: float
    learning_rate: float
    gradient_norm: float
    tokens_per_second: float
    eta_seconds: float


@dataclass(frozen=True)
class ClassChange:
    """How well a class is known, against the version before on the same rows; fields as in the proto."""

    label: str
    row_count: int
    metric: str
    before: float
    after: float
    low: float
    high: float

    @property
    def worse(self) -> bool:
        """Whether more than chance says that it is known less well."""
        return self.high < 0


@dataclass(frozen=True)
class Evaluation:
    """Quality on held-out rows; `confusion_matrix` is [true][predicted] in the order of `labels`.

    `metrics` are all that was measured, (name, value) by name; the higher `primary_metric`, the better.
    `class_changes` are against the version that the job started from.
    """

    row_count: int
    accuracy: float
    macro_f1: float
    loss: float
    labels: tuple[str, ...]
    confusion_matrix: tuple[tuple[int, ...], ...]
    metrics: tuple[tuple[str, float], ...] = ()
    primary_metric: str = ""
    class_changes: tuple[ClassChange, ...] = ()


@dataclass(frozen=True)
class StateChange:
    """A change of state."""

    old_state: JobState
    new_state: JobState
    reason: str
    model_version: str = ""


@dataclass(frozen=True)
class CheckpointSaved:
    """A checkpoint that a new attempt could start from; `evaluation_loss` is None where it was not judged."""

    step: int
    digest: str
    evaluation_loss: float | None = None


@dataclass(frozen=True)
class Metrics:
    """Numbers that were measured after a step: (name, value), by name."""

    step: int
    values: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Warning:
    """Something that does not stop the training and should be looked at; `code` is UPPER_SNAKE."""

    code: str
    text: str


@dataclass(frozen=True)
class LogLine:
    """A line for people."""

    text: str


EventBody = StateChange | Progress | Evaluation | CheckpointSaved | LogLine | Metrics | Warning


@dataclass(frozen=True)
class Event:
    """Something that happened to a job; ids count from 1 without gaps."""

    job: str
    id: int
    time: datetime
    attempt: int
    body: EventBody


@dataclass(frozen=True)
class Past:
    """Which rows a training learnt and was judged by; digests are empty for what there was none of.

    `seed` is that of the split and of the replay, which learnt `replay_share` of its rows again, or `replay_rows`.
    `by_text`: rows of one text were kept on one side, as they are of all trainings since there is this field.
    """

    dataset_digest: str
    evaluation_dataset_digest: str
    holdout_fraction: float
    seed: int
    replay_digest: str = ""
    replay_share: float = 0.0
    replay_rows: int | None = None
    by_text: bool = False


@dataclass(frozen=True)
class Inputs:
    """The digests that a job works on, fixed when it is created. The tokenizer's is what texts are tokenized with.

    `past` are the trainings behind the bundle `start_digest`, the first one first. `by_text` is as of `Past`.
    """

    base_digest: str
    tokenizer_digest: str
    dataset_digest: str
    evaluation_dataset_digest: str
    pooling: str
    # Of the base's quantised form; empty where it has none.
    quantized_digest: str = ""
    # Of the bundle to start from; empty for a training from the base.
    start_digest: str = ""
    replay_digest: str = ""
    past: tuple[Past, ...] = ()
    # Of the tokenizer that the base has now, where the other has more tokens; else empty.
    base_tokenizer_digest: str = ""
    by_text: bool = False

    @property
    def learnt(self) -> frozenset[str]:
        """The digests of the datasets that the job, or what it starts from, learns from."""
        earlier = (digest for past in self.past for digest in (past.dataset_digest, past.replay_digest))
        return frozenset(filter(None, (self.dataset_digest, self.replay_digest, *earlier)))

    @property
    def datasets(self) -> frozenset[str]:
        """The digests of all datasets that it reads."""
        judged = (self.evaluation_dataset_digest, *(past.evaluation_dataset_digest for past in self.past))
        return self.learnt.union(filter(None, judged))


@dataclass(frozen=True)
class Budget:
    """What a job may use; None is no limit. Times in seconds, `cost` in the currency of the service's price."""

    training_seconds: float | None = None
    cost: float | None = None
    deadline_seconds: float | None = None


@dataclass(frozen=True)
class Terms:
    """On what terms a job runs: whose it is, how urgent, how much it may use."""

    tenant: str = NO_TENANT
    priority: int = 0
    budget: Budget = Budget()


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on record."""

    step: int
    digest: str
    evaluation_loss: float | None
    attempt: int
    create_time: datetime
    best: bool = False


@dataclass(frozen=True)
class Reproduction:
    """A version that a job makes again: its name, and what came of it once the job has ended."""

    model_version: str
    bundle_digest: str = ""
    same_bundle: bool = False
    same_weights: bool = False


@dataclass(frozen=True)
class Job:
    """One fine-tuning.

    `finishing` is how it will end once its best checkpoint is stored, empty for a job that trains to its end.
    `used_seconds` is time with a worker, `price` the cost of a rank and hour.
    """

    id: str
    spec: TrainingSpec
    inputs: Inputs
    state: JobState
    attempt: int = 0
    failure: Failure | None = None
    progress: Progress | None = None
    evaluation: Evaluation | None = None
    checkpoint_digest: str = ""
    best_digest: str = ""
    best_loss: float | None = None
    model_version: str = ""
    derived_base: str = ""
    terms: Terms = Terms()
    finishing: str = ""
    micro_batches: int = 1
    used_seconds: float = 0.0
    price: float = 0.0
    estimated_seconds: float | None = None
    last_event: int = 0
    create_time: datetime = field(default_factory=now)
    start_time: datetime | None = None
    end_time: datetime | None = None
    # Since when the current attempt runs; None where no worker has it.
    attempt_time: datetime | None = None
    # Of a job that makes a version again; it makes none of its own.
    reproduction: Reproduction | None = None
    # The job that it does again; empty for all others.
    reproduced_job: str = ""
    request_id: str = ""
    # Who asked for it; empty where nobody said.
    principal: str = ""

    def training_seconds(self, time: datetime) -> float:
        """Returns the time with a worker up to `time`, in seconds."""
        since = (time - self.attempt_time).total_seconds() if self.attempt_time else 0.0
        return self.used_seconds + max(since, 0.0)


@dataclass(frozen=True)
class JobQuery:
    """Which jobs to list, and in what order; nothing said is all of them, newest first."""

    states: tuple[JobState, ...] = ()
    # Its id.
    model: str = ""
    oldest_first: bool = False
    # Whose; empty for the installation, None for all.
    owner: str | None = None


@dataclass(frozen=True)
class ModelVersion:
    """One trained bundle under a number."""

    model: str
    number: int
    bundle_digest: str
    base_model: str
    base_digest: str
    tokenizer_digest: str
    job: str
    evaluation: Evaluation
    # Of the artifact of kind `evaluations`; empty for versions that were made before there were any.
    evaluation_digest: str = ""
    # Whether rows that it learnt were erased since: it serves on until another replaces it.
    trained_on_erased: bool = False
    create_time: datetime = field(default_factory=now)

    @property
    def name(self) -> str:
        """`models/{model}/versions/{version}`."""
        return f"models/{self.model}/versions/{self.number}"


class ReleaseState(StrEnum):
    """Whether a release runs, and how it ended."""

    ACTIVE = "ACTIVE"
    PROMOTED = "PROMOTED"
    ENDED = "ENDED"
    ROLLED_BACK = "ROLLED_BACK"


@dataclass(frozen=True)
class ReleaseRules:
    """What a candidate must not do; None switches a rule off. Shares are 0 to 1, the ratio is over 1."""

    max_error_rate_increase: float | None = None
    max_p99_latency_ratio: float | None = None
    max_label_shift: float | None = None
    min_samples: int = 500


@dataclass(frozen=True)
class NewRelease:
    """What a caller asks to try on an alias. `candidate` is a model and the number of its version."""

    candidate: tuple[str, int]
    weight: int
    shadow: bool
    rules: ReleaseRules


@dataclass(frozen=True)
class Release:
    """A version that is tried beside the one that an alias points at; `weight` is in percent."""

    id: str
    model: str
    alias: str
    candidate: ModelVersion
    baseline: int
    weight: int
    shadow: bool
    rules: ReleaseRules
    state: ReleaseState
    end_reason: str
    create_time: datetime
    update_time: datetime
    end_time: datetime | None

    @property
    def name(self) -> str:
        """`models/{model}/aliases/{alias}/releases/{release}`."""
        return f"models/{self.model}/aliases/{self.alias}/releases/{self.id}"


@dataclass(frozen=True)
class Alias:
    """A name that callers use for a version.

    `revision` grows with every change of any alias or its release; `previous` is the number of the version that it
    pointed at before, 0 for none.
    """

    model: str
    alias: str
    version: ModelVersion
    revision: int
    update_time: datetime
    previous: int = 0
    release: Release | None = None


@dataclass(frozen=True)
class Model:
    """A line of versions that answer the same question."""

    id: str
    latest_version: int
    aliases: tuple[Alias, ...]
    create_time: datetime


@dataclass(frozen=True)
class EvaluationStarted:
    """Training is over, judging begins."""


@dataclass(frozen=True)
class Stopped:
    """The attempt stopped because it was asked to."""


@dataclass(frozen=True)
class Compared:
    """What came out of making a version again, against what was there: the bundle, and its weights alone."""

    same_bundle: bool = False
    same_weights: bool = False


@dataclass(frozen=True)
class Done:
    """The bundle is stored; it lives on the job's base, or on one that was made with it. A job that makes a base has no
    bundle, and says how many parameters the base has.

    `evaluation_digest` is of the artifact of kind `evaluations`; empty where there is none.
    """

    bundle_digest: str
    base_digest: str = ""
    evaluation_digest: str = ""
    # Found by the service, of a job that makes a version again.
    compared: Compared = Compared()
    parameter_count: int = 0


@dataclass(frozen=True)
class Hello:
    """The worker is there; `instance` is what no other process says."""

    pid: int
    instance: str = ""


@dataclass(frozen=True)
class Heartbeat:
    """The worker lives."""


Report = (
    Hello
    | Heartbeat
    | Progress
    | CheckpointSaved
    | EvaluationStarted
    | Evaluation
    | Metrics
    | Warning
    | LogLine
    | Failure
    | Stopped
    | Done
)


@dataclass(frozen=True)
class WorkerReport:
    """One message of a worker: `seq` counts within the attempt from 1, 0 for what is not acknowledged."""

    job: str
    attempt: int
    seq: int
    report: Report


def plain(value: Any) -> Any:
    """Turns enums, tuples and times inside a value into JSON's own kinds."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value
