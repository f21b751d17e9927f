"""Builds the requests that both clients send, so that `sync` and `aio` differ only in how they wait."""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypedDict

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from symbiont.api.inference.v1.generation_pb2 import (
    CHAT_ROLE_ASSISTANT,
    CHAT_ROLE_SYSTEM,
    CHAT_ROLE_USER,
    Chat,
    ChatMessage,
    ChatRole,
    GenerateRequest,
    Sampling,
)
from symbiont.api.inference.v1.release_pb2 import GetReleaseObservationRequest, ListDisagreementsRequest
from symbiont.api.tokenization.v1 import tokenization_pb2
from symbiont.api.training.v1.base_model_pb2 import (
    BaseModel,
    BaseModelSource,
    GetBaseModelRequest,
    HuggingFaceSource,
    LicenseTerms,
    PackageSource,
    QuantizationStage,
    QuantizeBaseModelRequest,
    RegisterBaseModelRequest,
    UpdateBaseModelRequest,
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
    DeleteDatasetRequest,
    FieldKind,
    GetDatasetRequest,
    LabelKind,
)
from symbiont.api.training.v1.erasure_pb2 import ForgetSubjectRequest
from symbiont.api.training.v1.model_pb2 import (
    CreateReleaseRequest,
    EndReleaseRequest,
    GetModelRequest,
    GetModelVersionRequest,
    GetReleaseRequest,
    ListModelVersionsRequest,
    ListReleasesRequest,
    PromoteModelVersionRequest,
    PromoteReleaseRequest,
    Release,
    ReleaseRules,
    RollbackModelAliasRequest,
    UpdateReleaseRequest,
)
from symbiont.api.training.v1.training_job_pb2 import (
    Budget,
    CancelTrainingJobRequest,
    CreateTrainingJobRequest,
    GetTrainingJobRequest,
    JobState,
    ListTrainingEventsRequest,
    ListTrainingJobsRequest,
    PauseTrainingJobRequest,
    PlanStage,
    PlanTrainingJobRequest,
    ReadTrainingLogRequest,
    ResumeTrainingJobRequest,
    TrainingJob,
    TrainingSpec,
)
from symbiont.client.names import alias_name, full_name

CHUNK_BYTES = 1 << 20
# A large base model is hashed and copied, or fetched, before the call returns.
REGISTRATION_TIMEOUT_S = 600.0
UploadProgress = Callable[[int, int], None]
# Told what a quantisation is at, as the proto names its stages: `tokenizing`, `loading`, `quantizing`, `storing`.
QuantizationProgress = Callable[[str], None]
# Told what a plan is at: `waiting`, `reading`, `loading`, `training`, `judging`.
PlanProgress = Callable[[str], None]

# A generation takes as long as its text; the service has a limit of its own.
GENERATION_TIMEOUT_S = 600.0
# Every row that is stored is looked at.
ERASURE_TIMEOUT_S = 3600.0
_ROLES: dict[str, ChatRole.ValueType] = {
    "system": CHAT_ROLE_SYSTEM,
    "user": CHAT_ROLE_USER,
    "assistant": CHAT_ROLE_ASSISTANT,
}
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
    terms: LicenseTerms | None,
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
    base = BaseModel(source=source, provider=provider, license=license, terms=terms)
    return RegisterBaseModelRequest(base_model_id=base_model_id, base_model=base)


def update_base_model(
    name: str, provider: str | None, license: str | None, terms: LicenseTerms | None
) -> UpdateBaseModelRequest:
    """Changes what is not None."""
    values = {"provider": provider, "license": license, "terms": terms}
    paths = [key for key, value in values.items() if value is not None]
    base = BaseModel(name=full_name("bases", name), provider=provider or "", license=license or "", terms=terms)
    return UpdateBaseModelRequest(base_model=base, update_mask=FieldMask(paths=paths))


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
        # By which the service tells a stream that breaks from a file that ends.
        self._header.byte_count = self._size

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


class DatasetColumns(TypedDict, total=False):
    """Which columns of an upload are what; see `Dataset` in `protos/symbiont/training/v1/dataset.proto`.

    `label_kind` is what the labels are: class (the default), classes, number, entities, answers, none. `fields` are
    columns of business fields with their kinds: number, flag, category, date.
    """

    text_column: str
    label_column: str
    label_kind: str
    pair_column: str
    fields: Mapping[str, str]
    group_column: str
    time_column: str
    subject_column: str


def upload(
    dataset_id: str,
    path: str | Path,
    format: str | None,
    columns: DatasetColumns,
    progress: UploadProgress | None,
) -> Upload:
    """Builds the upload of a dataset."""
    file = Path(path)
    named = {name: value for name, value in columns.items() if name not in ("label_kind", "fields")}
    dataset = Dataset(format=dataset_format(file, format), **named)  # type: ignore[arg-type]  # all of them are names
    if kind := columns.get("label_kind"):
        dataset.label_kind = _value(LabelKind, "LABEL_KIND_", "label kind", kind)
    for name, kind in columns.get("fields", {}).items():
        dataset.fields.add(name=name, kind=_value(FieldKind, "FIELD_KIND_", "kind of field", kind))
    return Upload(CreateDatasetHeader(dataset_id=dataset_id, dataset=dataset), file, progress)


def _value(enum: Any, prefix: str, what: str, word: str) -> Any:
    """Returns the value of an enum that a word says."""
    known = [name.removeprefix(prefix).lower() for name in enum.keys()][1:]  # noqa: SIM118, it is no dict
    if word.lower() not in known:
        raise ValueError(f"there is no {what} {word!r}: {', '.join(known)}")
    return enum.Value(f"{prefix}{word.upper()}")


def create_training_job(
    spec: TrainingSpec, request_id: str | None, tenant: str, priority: int, budget: Budget | None
) -> CreateTrainingJobRequest:
    """Builds a job. Without a request id it gets a new one, so that a retry is safe."""
    job = TrainingJob(spec=spec, tenant=tenant, priority=priority, budget=budget)
    return CreateTrainingJobRequest(training_job=job, request_id=request_id or uuid.uuid4().hex)


def check_training_job(spec: TrainingSpec, budget: Budget | None) -> CreateTrainingJobRequest:
    """Asks whether a job could be created."""
    return CreateTrainingJobRequest(training_job=TrainingJob(spec=spec, budget=budget), validate_only=True)


def plan_training_job(spec: TrainingSpec) -> PlanTrainingJobRequest:
    """Asks what a job would take."""
    return PlanTrainingJobRequest(spec=spec)


def plan_stage_word(stage: PlanStage.ValueType) -> str:
    """Returns `loading` for PLAN_STAGE_LOADING."""
    return PlanStage.Name(stage).removeprefix("PLAN_STAGE_").lower()


def job_budget(
    training_seconds: float | None = None, cost: float | None = None, deadline_seconds: float | None = None
) -> Budget | None:
    """Builds what a job may use, None where it has no limits; ValueError for a time without end."""
    if training_seconds is None and cost is None and deadline_seconds is None:
        return None
    return Budget(training_time=_duration(training_seconds), cost=cost, deadline=_duration(deadline_seconds))


def _duration(seconds: float | None) -> Duration | None:
    if seconds is None:
        return None
    duration = Duration()
    try:
        duration.FromTimedelta(timedelta(seconds=seconds))
    except OverflowError as exc:
        raise ValueError(f"a limit of {seconds:g} s is none: leave it out") from exc
    return duration


def get_base_model(name: str) -> GetBaseModelRequest:
    """Asks for a base model by id or name."""
    return GetBaseModelRequest(name=full_name("bases", name))


def quantize_base_model(name: str, texts: Sequence[str]) -> QuantizeBaseModelRequest:
    """Asks for the quantised form of a base model by id or name."""
    return QuantizeBaseModelRequest(name=full_name("bases", name), texts=a_list("texts", texts))


def stage_word(stage: QuantizationStage.ValueType) -> str:
    """Returns `loading` for QUANTIZATION_STAGE_LOADING."""
    return QuantizationStage.Name(stage).removeprefix("QUANTIZATION_STAGE_").lower()


def get_dataset(name: str) -> GetDatasetRequest:
    """Asks for a dataset by id or name."""
    return GetDatasetRequest(name=full_name("datasets", name))


def get_training_job(name: str) -> GetTrainingJobRequest:
    """Asks for a job by id or name."""
    return GetTrainingJobRequest(name=full_name("jobs", name))


def list_training_jobs(states: Sequence[str], model: str, oldest_first: bool) -> ListTrainingJobsRequest:
    """Asks for jobs of some states, by their words as `running`, of one model by id or name."""
    known = [name.removeprefix("JOB_STATE_").lower() for name in JobState.keys()[1:]]
    for state in states:
        if state.lower() not in known:
            raise ValueError(f"{state!r} is no state of a job; say one of {', '.join(known)}")
    values = [JobState.Value(f"JOB_STATE_{state.upper()}") for state in states]
    named = full_name("models", model) if model else ""
    return ListTrainingJobsRequest(states=values, model=named, oldest_first=oldest_first)


def cancel_training_job(name: str, keep_work: bool) -> CancelTrainingJobRequest:
    """Cancels a job by id or name."""
    return CancelTrainingJobRequest(name=full_name("jobs", name), keep_work=keep_work)


def pause_training_job(name: str) -> PauseTrainingJobRequest:
    """Pauses a job by id or name."""
    return PauseTrainingJobRequest(name=full_name("jobs", name))


def resume_training_job(name: str) -> ResumeTrainingJobRequest:
    """Resumes a job by id or name."""
    return ResumeTrainingJobRequest(name=full_name("jobs", name))


def list_training_events(name: str, after_event_id: int) -> ListTrainingEventsRequest:
    """Asks for a page of the events of a job by id or name."""
    return ListTrainingEventsRequest(name=full_name("jobs", name), after_event_id=after_event_id, page_size=1000)


def read_training_log(name: str, attempt: int, tail_bytes: int, follow: bool) -> ReadTrainingLogRequest:
    """Asks for what the worker of a job by id or name has printed."""
    named = full_name("jobs", name)
    return ReadTrainingLogRequest(name=named, attempt=attempt, tail_bytes=tail_bytes, follow=follow)


def forget_subject(subject: str, dry_run: bool, retrain: bool) -> ForgetSubjectRequest:
    """Forgets a subject; with a request id, so that what a try has erased is answered when it is made again."""
    return ForgetSubjectRequest(subject=subject, dry_run=dry_run, retrain=retrain, request_id=uuid.uuid4().hex)


def delete_dataset(name: str) -> DeleteDatasetRequest:
    """Deletes a dataset by id or name."""
    return DeleteDatasetRequest(name=full_name("datasets", name))


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


def rollback(model: str, from_version: str) -> RollbackModelAliasRequest:
    """Takes an alias, `{model}@{alias}`, back from a version."""
    return RollbackModelAliasRequest(name=alias_name(model), from_version=full_name("models", from_version))


def create_release(
    model: str, candidate: str, weight: int, shadow: bool, rules: ReleaseRules | None
) -> CreateReleaseRequest:
    """Builds a release on an alias, `{model}@{alias}`."""
    release = Release(candidate=full_name("models", candidate), weight=weight, shadow=shadow, rules=rules)
    return CreateReleaseRequest(parent=alias_name(model), release=release)


def get_release(name: str) -> GetReleaseRequest:
    """Asks for a release."""
    return GetReleaseRequest(name=full_name("models", name))


def list_releases(model: str) -> ListReleasesRequest:
    """Asks for the releases of an alias, or, without one, of a model."""
    return ListReleasesRequest(parent=alias_name(model if "@" in model else f"{model}@-"))


def update_release(name: str, weight: int | None, shadow: bool | None) -> UpdateReleaseRequest:
    """Changes what is not None."""
    values = {key: value for key, value in {"weight": weight, "shadow": shadow}.items() if value is not None}
    release = Release(name=full_name("models", name), weight=weight or 0, shadow=bool(shadow))
    return UpdateReleaseRequest(release=release, update_mask=FieldMask(paths=list(values)))


def promote_release(name: str) -> PromoteReleaseRequest:
    """Points the alias at the candidate."""
    return PromoteReleaseRequest(name=full_name("models", name))


def end_release(name: str, reason: str) -> EndReleaseRequest:
    """Ends a release."""
    return EndReleaseRequest(name=full_name("models", name), reason=reason)


def get_release_observation(name: str) -> GetReleaseObservationRequest:
    """Asks what was seen of a release."""
    return GetReleaseObservationRequest(release=full_name("models", name))


def list_disagreements(name: str) -> ListDisagreementsRequest:
    """Asks for rows that a shadow labelled otherwise, as many as a page may have: another process has other ones."""
    return ListDisagreementsRequest(parent=full_name("models", name), page_size=1000)


def register_tokenizer(
    tokenizer_id: str, folder: str | Path | None, package: str | None, package_folder: str, max_tokens: int
) -> tokenization_pb2.RegisterTokenizerRequest:
    """Builds the registration of a tokenizer from exactly one source."""
    if (folder is None) == (package is None):
        raise ValueError("name exactly one source: folder or package")
    request = tokenization_pb2.RegisterTokenizerRequest(tokenizer_id=tokenizer_id, max_tokens=max_tokens)
    if folder is not None:
        # The service reads it from its own working folder, not from the caller's.
        request.folder = str(Path(folder).absolute())
    if package is not None:
        request.package.MergeFrom(tokenization_pb2.PackageSource(package=package, folder=package_folder))
    return request


def generate(
    base_model: str,
    prompt: str | None,
    messages: Sequence[tuple[str, str]] | None,
    max_tokens: int,
    stop: Sequence[str],
    sampling: Sampling | None,
) -> GenerateRequest:
    """Builds a generation from exactly one of a prompt and the (role, content) turns of a chat."""
    if (prompt is None) == (messages is None):
        raise ValueError("give exactly one of a prompt and messages")
    request = GenerateRequest(
        base_model=full_name("bases", base_model), max_tokens=max_tokens, stop=a_list("stop", stop), sampling=sampling
    )
    if prompt is not None:
        request.prompt = prompt
    if messages is not None:
        request.chat.MergeFrom(Chat(messages=[_message(role, content) for role, content in messages]))
    return request


def _message(role: str, content: str) -> ChatMessage:
    if role not in _ROLES:
        raise ValueError(f"role {role!r} is none of {', '.join(_ROLES)}")
    return ChatMessage(role=_ROLES[role], content=content)


def get_tokenizer(name: str) -> tokenization_pb2.GetTokenizerRequest:
    """Asks for a tokenizer by digest, id or name."""
    return tokenization_pb2.GetTokenizerRequest(name=full_name("tokenizers", name))


def derive_tokenizer(
    tokenizer: str, terms: Sequence[str], tokenizer_id: str, sample: Sequence[str]
) -> tokenization_pb2.DeriveTokenizerRequest:
    """Builds a derivation."""
    return tokenization_pb2.DeriveTokenizerRequest(
        tokenizer=full_name("tokenizers", tokenizer),
        terms=a_list("terms", terms),
        tokenizer_id=tokenizer_id,
        sample=a_list("sample", sample),
    )


def tokenize(
    tokenizer: str,
    texts: Sequence[str],
    pair_texts: Sequence[str],
    max_tokens: int,
    options: tokenization_pb2.TokenizeOptions | None,
) -> tokenization_pb2.TokenizeRequest:
    """Builds a batch to tokenize."""
    return tokenization_pb2.TokenizeRequest(
        tokenizer=full_name("tokenizers", tokenizer),
        texts=a_list("texts", texts),
        pair_texts=a_list("pair_texts", pair_texts),
        max_tokens=max_tokens,
        options=options,
    )


def stream_settings(
    tokenizer: str, max_tokens: int, options: tokenization_pb2.TokenizeOptions | None
) -> tokenization_pb2.TokenizeStreamRequest:
    """Builds the first message of a stream."""
    settings = tokenization_pb2.StreamSettings(
        tokenizer=full_name("tokenizers", tokenizer), max_tokens=max_tokens, options=options
    )
    return tokenization_pb2.TokenizeStreamRequest(settings=settings)


def stream_batch(texts: Sequence[str]) -> tokenization_pb2.TokenizeStreamRequest:
    """Builds a later message of a stream."""
    batch = tokenization_pb2.TextBatch(texts=a_list("batches", texts))
    return tokenization_pb2.TokenizeStreamRequest(batch=batch)


def count_tokens(
    tokenizer: str, texts: Sequence[str], pair_texts: Sequence[str]
) -> tokenization_pb2.CountTokensRequest:
    """Builds a count."""
    return tokenization_pb2.CountTokensRequest(
        tokenizer=full_name("tokenizers", tokenizer),
        texts=a_list("texts", texts),
        pair_texts=a_list("pair_texts", pair_texts),
    )


def decode(tokenizer: str, rows: Sequence[Sequence[int]], keep_special_tokens: bool) -> tokenization_pb2.DecodeRequest:
    """Builds rows to decode."""
    return tokenization_pb2.DecodeRequest(
        tokenizer=full_name("tokenizers", tokenizer),
        ids=[identifier for row in rows for identifier in row],
        lengths=[len(row) for row in rows],
        keep_special_tokens=keep_special_tokens,
    )


def look_up_vocabulary(
    tokenizer: str, tokens: Sequence[str], ids: Sequence[int]
) -> tokenization_pb2.LookUpVocabularyRequest:
    """Builds a look-up."""
    return tokenization_pb2.LookUpVocabularyRequest(
        tokenizer=full_name("tokenizers", tokenizer), tokens=a_list("tokens", tokens), ids=ids
    )


def analyze_texts(
    tokenizer: str, texts: Sequence[str], pair_texts: Sequence[str], max_tokens: int
) -> tokenization_pb2.AnalyzeTextsRequest:
    """Builds an analysis."""
    return tokenization_pb2.AnalyzeTextsRequest(
        tokenizer=full_name("tokenizers", tokenizer),
        texts=a_list("texts", texts),
        pair_texts=a_list("pair_texts", pair_texts),
        max_tokens=max_tokens,
    )


def a_list(name: str, texts: Sequence[str]) -> Sequence[str]:
    """Returns several texts; TypeError for one string, which would be taken for as many texts as it has letters."""
    if isinstance(texts, str):
        raise TypeError(f"{name} is one string; give a list of them")
    return texts
