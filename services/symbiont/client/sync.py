"""The client for plain code. `aio` is its twin; what both send is built in `requests`."""

# The classes of grpc are generic in their stubs only.
from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.trace import TracerProvider, get_tracer

from symbiont.api.inference.v1.catalogue_pb2 import (
    Catalogue,
    ListCataloguesRequest,
    SearchCatalogueResponse,
    UpdateCatalogueEntriesResponse,
)
from symbiont.api.inference.v1.catalogue_pb2_grpc import CatalogueServiceStub
from symbiont.api.inference.v1.generation_pb2 import GenerateResponse, Sampling
from symbiont.api.inference.v1.generation_pb2_grpc import GenerationServiceStub
from symbiont.api.inference.v1.inference_pb2_grpc import InferenceServiceStub
from symbiont.api.inference.v1.release_pb2 import Disagreement, ReleaseObservation
from symbiont.api.inference.v1.release_pb2_grpc import ReleaseServiceStub
from symbiont.api.tokenization.v1 import tokenization_pb2 as pb
from symbiont.api.tokenization.v1.tokenization_pb2_grpc import TokenizationServiceStub
from symbiont.api.training.v1.base_model_pb2 import BaseModel, LicenseTerms, ListBaseModelsRequest
from symbiont.api.training.v1.base_model_pb2_grpc import BaseModelServiceStub
from symbiont.api.training.v1.dataset_pb2 import (
    Dataset,
    ListDatasetsRequest,
    RowSuggestion,
    SplitDatasets,
    SplitSettings,
    SuggestionSettings,
    Transform,
    ValidationReport,
    ValidationSettings,
)
from symbiont.api.training.v1.dataset_pb2_grpc import DatasetServiceStub
from symbiont.api.training.v1.erasure_pb2 import ForgetSubjectResponse
from symbiont.api.training.v1.erasure_pb2_grpc import ErasureServiceStub
from symbiont.api.training.v1.model_pb2 import (
    ListModelsRequest,
    Model,
    ModelAlias,
    ModelVersion,
    Release,
    ReleaseRules,
)
from symbiont.api.training.v1.model_pb2_grpc import ModelServiceStub
from symbiont.api.training.v1.passport_pb2 import EvaluationReport, ModelPassport
from symbiont.api.training.v1.passport_pb2_grpc import PassportServiceStub
from symbiont.api.training.v1.promotion_pb2 import PromotionDecision, PromotionPolicy, PromotionRule
from symbiont.api.training.v1.promotion_pb2_grpc import PromotionServiceStub
from symbiont.api.training.v1.training_job_pb2 import (
    Budget,
    TrainingEvent,
    TrainingJob,
    TrainingPlan,
    TrainingSpec,
)
from symbiont.api.training.v1.training_job_pb2_grpc import TrainingJobServiceStub
from symbiont.client import catalogues, gate, predicting, promotion, requests
from symbiont.client.channels import (
    Caller,
    Endpoints,
    Limits,
    Page,
    Paged,
    health_timeout_s,
    not_ready,
    not_there,
    rpc_of,
)
from symbiont.client.credentials import Credentials
from symbiont.client.errors import RequestError, UnavailableError, closed, error_of
from symbiont.client.inputs import Batch, Granularity, Input, OffsetUnit, Priority
from symbiont.client.names import alias_of
from symbiont.client.reading import explanations_of, predictions_of, stream_answer_of
from symbiont.client.results import Explanations, Predictions
from symbiont.client.retry import Retry
from symbiont.client.sending import Kept
from symbiont.client.watching import LogReading, Watch
from symbiont.common.tracing import calling

Req = TypeVar("Req")
Res = TypeVar("Res")
PagedReq = TypeVar("PagedReq", bound=Paged)
PageRes = TypeVar("PageRes", bound=Page)
T = TypeVar("T")
Stream = TypeVar("Stream")


class Client:
    """Calls the services. Safe to share between threads; close it, or use it in `with`.

    Wherever a name is taken, the id alone does: `sentiment` for `models/sentiment`. Every method raises
    `RequestError` when the service refuses, and `ValueError` when the arguments contradict each other.
    """

    def __init__(
        self,
        endpoints: Endpoints | None = None,
        limits: Limits | None = None,
        *,
        principal: str | None = None,
        tenant: str | None = None,
        credentials: Credentials | None = None,
        tracer_provider: TracerProvider | None = None,
    ) -> None:
        """Makes it.

        Args:
            endpoints: where the services are.
            limits: how long calls may take.
            principal: who calls, for the record of decisions; by default what `SYMBIONT_PRINCIPAL` says. Services that
                know callers by certificates and tokens believe it of those that run the suite.
            tenant: in whose place an operator acts, by its tenant's names; by default what `SYMBIONT_TENANT` says. For
                all others it is their own tenant, or calls are refused.
            credentials: how the client shows who it is; by default what `Credentials.find` finds.
            tracer_provider: makes a span of each call; by default OpenTelemetry's global one, where there is one.
                The services add theirs to a trace that is kept, and to any that the caller is in.
        """
        endpoints = endpoints or Endpoints()
        self._limits = limits or Limits()
        self._tracer = get_tracer("symbiont.client", tracer_provider=tracer_provider)
        self._channels = (credentials or Credentials.find()).channels(endpoints)
        training, inference, tokenization = self._channels
        self._bases = BaseModelServiceStub(training)
        self._datasets = DatasetServiceStub(training)
        self._erasures = ErasureServiceStub(training)
        self._jobs = TrainingJobServiceStub(training)
        self._models = ModelServiceStub(training)
        self._promotion = PromotionServiceStub(training)
        self._passports = PassportServiceStub(training)
        self._caller = Caller.find(principal, tenant)
        self._closed = False
        self._inference = InferenceServiceStub(inference)
        self._releases = ReleaseServiceStub(inference)
        self._generation = GenerationServiceStub(inference)
        self._catalogues = CatalogueServiceStub(inference)
        self._tokenization = TokenizationServiceStub(tokenization)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the channels; calls in flight fail, as later ones do, with CANCELLED."""
        self._closed = True
        for channel in self._channels:
            channel.close()

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Waits until all services report SERVING; raises UnavailableError after `seconds`, and a refusal at once."""
        retry = Retry(seconds)
        for channel in self._channels:
            stub = health_pb2_grpc.HealthStub(channel)
            while problem := self._health_problem(stub, retry.left_s):
                if (delay := retry.delay()) is None:
                    raise problem
                time.sleep(delay)

    def register_base_model(
        self,
        base_model_id: str,
        *,
        folder: str | Path | None = None,
        package: str | None = None,
        hugging_face: str | None = None,
        revision: str = "",
        provider: str = "",
        license: str = "",
        terms: LicenseTerms | None = None,
    ) -> BaseModel:
        """Registers a base model from exactly one of a folder, an installed package, and a Hugging Face repository."""
        request = requests.register_base_model(
            base_model_id, folder, package, hugging_face, revision, provider, license, terms
        )
        return self._call(self._bases.RegisterBaseModel, request, seconds=requests.REGISTRATION_TIMEOUT_S)

    def update_base_model(
        self,
        name: str,
        *,
        provider: str | None = None,
        license: str | None = None,
        terms: LicenseTerms | None = None,
    ) -> BaseModel:
        """Changes who provides a base model, and on what terms it may be used; None leaves what is."""
        return self._call(self._bases.UpdateBaseModel, requests.update_base_model(name, provider, license, terms))

    def quantize_base_model(
        self, name: str, texts: Sequence[str], *, progress: requests.QuantizationProgress | None = None
    ) -> BaseModel:
        """Makes the quantised form of an encoder from 100 to 2048 texts, for bundles that are trained after it.

        Takes a minute or more, and is given up when the caller goes. `progress` gets each stage as it begins.
        """
        request, made = requests.quantize_base_model(name, texts), BaseModel()
        with self._open(self._bases.QuantizeBaseModel(request, metadata=self._metadata())) as stream:
            for message in stream:
                made = message.base_model
                if progress and message.WhichOneof("progress") == "stage":
                    progress(requests.stage_word(message.stage))
        return made

    def get_base_model(self, name: str) -> BaseModel:
        """Returns a base model."""
        return self._call(self._bases.GetBaseModel, requests.get_base_model(name))

    def list_base_models(self) -> Iterator[BaseModel]:
        """Yields every base model, ordered by name."""
        return self._pages(self._bases.ListBaseModels, ListBaseModelsRequest(), lambda page: page.base_models)

    def create_dataset(
        self,
        dataset_id: str,
        path: str | Path,
        *,
        format: str | None = None,
        progress: requests.UploadProgress | None = None,
        **columns: Unpack[requests.DatasetColumns],
    ) -> Dataset:
        """Uploads a file of rows; without `format` its suffix says csv, tsv, jsonl or parquet.

        `progress` gets the bytes sent and the bytes in all, from another thread; `columns` say what is in the file.
        """
        upload = requests.upload(dataset_id, path, format, columns, progress)
        return self._sent(self._datasets.CreateDataset, upload.messages)

    def get_dataset(self, name: str) -> Dataset:
        """Returns a dataset."""
        return self._call(self._datasets.GetDataset, requests.get_dataset(name))

    def list_datasets(self) -> Iterator[Dataset]:
        """Yields every dataset, ordered by name."""
        return self._pages(self._datasets.ListDatasets, ListDatasetsRequest(), lambda page: page.datasets)

    def delete_dataset(self, name: str) -> None:
        """Deletes a dataset; not sent again by itself, because a second deletion is refused."""
        self._call(self._datasets.DeleteDataset, requests.delete_dataset(name), idempotent=False)

    def forget_subject(self, subject: str, *, dry_run: bool = False, retrain: bool = False) -> ForgetSubjectResponse:
        """Forgets a subject: its rows, and what was made of them; see ErasureService.

        `dry_run` changes nothing and says what would be. Versions that learnt the rows serve on until they are
        replaced; `retrain` queues jobs for those that serve or are the newest.
        """
        request = requests.forget_subject(subject, dry_run, retrain)
        return self._call(self._erasures.ForgetSubject, request, seconds=requests.ERASURE_TIMEOUT_S)

    def prepare_dataset(
        self,
        name: str,
        dataset_id: str,
        transforms: Sequence[Transform],
        *,
        progress: gate.WorkProgress | None = None,
    ) -> Dataset:
        """Makes a dataset of another one by transforms in order; its `transforms` say what each found.

        Takes as long as there are rows, and is given up when the caller goes. `progress` gets how far it is.
        """
        request = gate.prepare(name, dataset_id, transforms)
        return (self._worked(self._datasets.PrepareDataset(request, metadata=self._metadata()), progress)).dataset

    def split_dataset(
        self,
        name: str,
        train_dataset_id: str,
        test_dataset_id: str,
        settings: SplitSettings | None = None,
        *,
        progress: gate.WorkProgress | None = None,
    ) -> SplitDatasets:
        """Cuts a dataset into one to train on and one to test on."""
        request = gate.split(name, train_dataset_id, test_dataset_id, settings)
        return (self._worked(self._datasets.SplitDataset(request, metadata=self._metadata()), progress)).datasets

    def validate_dataset(
        self, name: str, settings: ValidationSettings | None = None, *, progress: gate.WorkProgress | None = None
    ) -> ValidationReport:
        """Looks for what may be wrong with a dataset: repeated rows, personal data, wrong labels, leaks."""
        request = gate.validate(name, settings)
        return (self._worked(self._datasets.ValidateDataset(request, metadata=self._metadata()), progress)).report

    def suggest_rows(
        self, name: str, settings: SuggestionSettings | None = None, *, progress: gate.WorkProgress | None = None
    ) -> list[RowSuggestion]:
        """Returns rows that are worth labelling, or looking at again."""
        request = gate.suggest(name, settings)
        message = self._worked(self._datasets.SuggestRows(request, metadata=self._metadata()), progress)
        return list(message.suggestions.suggestions)

    def export_rows(self, name: str, format: str, suggestions: Sequence[RowSuggestion] = ()) -> Iterator[bytes]:
        """Yields the bytes of a file with the rows that are suggested, or all: label-studio, jsonl or csv."""
        request = gate.export(name, format, suggestions)
        with self._open(self._datasets.ExportRows(request, metadata=self._metadata())) as stream:
            for message in stream:
                yield message.chunk

    def import_labels(
        self, name: str, dataset_id: str, path: str | Path, *, format: str | None = None, only_labelled: bool = False
    ) -> Dataset:
        """Makes a dataset of another one with the labels of a file; without `format` its suffix says which it is."""
        labels = gate.Labels(name, dataset_id, path, format, only_labelled)
        return self._sent(self._datasets.ImportLabels, labels.messages)

    def plan_training_job(self, spec: TrainingSpec, *, progress: requests.PlanProgress | None = None) -> TrainingPlan:
        """Says what a job would take, from a short trial on its rows; nothing is queued.

        Takes about a minute, and is given up when the caller goes. `progress` gets each stage as it begins.
        """
        request, plan = requests.plan_training_job(spec), TrainingPlan()
        with self._open(self._jobs.PlanTrainingJob(request, metadata=self._metadata())) as stream:
            for message in stream:
                plan = message.plan
                if progress and message.WhichOneof("progress") == "stage":
                    progress(requests.plan_stage_word(message.stage))
        return plan

    def create_training_job(
        self,
        spec: TrainingSpec,
        *,
        tenant: str = "",
        priority: int = 0,
        budget: Budget | None = None,
        request_id: str | None = None,
    ) -> TrainingJob:
        """Submits a training job; `training_spec` and `job_budget` build spec and budget.

        The request id makes a retry safe: sending it again returns the same job. Without one, a new one is made.
        """
        request = requests.create_training_job(spec, request_id, tenant, priority, budget)
        return self._call(self._jobs.CreateTrainingJob, request)

    def check_training_job(self, spec: TrainingSpec, *, budget: Budget | None = None) -> TrainingJob:
        """Checks a job as submitting it would, and submits nothing; its `spec` has every default filled in."""
        return self._call(self._jobs.CreateTrainingJob, requests.check_training_job(spec, budget))

    def get_training_job(self, name: str) -> TrainingJob:
        """Returns a training job."""
        return self._call(self._jobs.GetTrainingJob, requests.get_training_job(name))

    def list_training_jobs(
        self, *, states: Sequence[str] = (), model: str = "", oldest_first: bool = False
    ) -> Iterator[TrainingJob]:
        """Yields training jobs, newest first unless told otherwise.

        Args:
            states: only jobs in one of these, by their words as `running`; none stand for all.
            model: only jobs of this one.
        """
        request = requests.list_training_jobs(states, model, oldest_first)
        return self._pages(self._jobs.ListTrainingJobs, request, lambda page: page.training_jobs)

    def cancel_training_job(self, name: str, *, keep_work: bool = False) -> TrainingJob:
        """Asks a training job to stop; with `keep_work` what it makes is made of the best that it has learned.

        Not sent again by itself, because a second cancel is refused.
        """
        request = requests.cancel_training_job(name, keep_work)
        return self._call(self._jobs.CancelTrainingJob, request, idempotent=False)

    def pause_training_job(self, name: str) -> TrainingJob:
        """Asks a training job to stop after a checkpoint, and to wait."""
        return self._call(self._jobs.PauseTrainingJob, requests.pause_training_job(name))

    def resume_training_job(self, name: str) -> TrainingJob:
        """Queues a paused training job; not sent again by itself, because a second time is refused."""
        return self._call(self._jobs.ResumeTrainingJob, requests.resume_training_job(name), idempotent=False)

    def list_training_events(self, name: str, after_event_id: int = 0) -> Iterator[TrainingEvent]:
        """Yields the events that a job has had so far, in order."""
        while True:
            request = requests.list_training_events(name, after_event_id)
            events = self._call(self._jobs.ListTrainingEvents, request).events
            yield from events
            if len(events) < request.page_size:
                return
            after_event_id = events[-1].event_id

    def read_training_log(
        self, name: str, *, attempt: int = 0, tail_bytes: int = 0, follow: bool = False
    ) -> Iterator[bytes]:
        """Yields what the worker of an attempt has printed, 0 being the current one; `follow` goes on to its end.

        A broken stream that is followed is taken up again where it broke, as a watch is.
        """
        request = requests.read_training_log(name, attempt, tail_bytes, follow)
        reading = LogReading(request, Retry(self._limits.watch_patience if follow else 0))
        while True:
            try:
                with self._open(self._jobs.ReadTrainingLog(reading.request(), metadata=self._metadata())) as stream:
                    yield from map(reading.chunk_of, stream)
                return
            except RequestError as exc:
                self._check_open()
                delay = reading.pause_after(exc)
            time.sleep(delay)

    def watch_training_job(self, name: str, after_event_id: int = 0) -> Iterator[TrainingEvent]:
        """Yields the events of a job, past ones first, until it has ended.

        A broken stream is taken up again after the last event seen, for as long as `Limits.watch_patience` allows.
        """
        watch = Watch(name, after_event_id, Retry(self._limits.watch_patience))
        while not watch.ended:
            error: RequestError | None = None
            try:
                yield from self._events(watch)
            except RequestError as exc:
                self._check_open()
                error = exc
            if not watch.ended:
                time.sleep(watch.pause_after(error))

    def get_model(self, name: str) -> Model:
        """Returns a model."""
        return self._call(self._models.GetModel, requests.get_model(name))

    def list_models(self) -> Iterator[Model]:
        """Yields every model, ordered by name."""
        return self._pages(self._models.ListModels, ListModelsRequest(), lambda page: page.models)

    def get_model_version(self, name: str) -> ModelVersion:
        """Returns a version: `sentiment/versions/3`."""
        return self._call(self._models.GetModelVersion, requests.get_model_version(name))

    def list_model_versions(self, model: str) -> Iterator[ModelVersion]:
        """Yields the versions of a model, newest first."""
        request = requests.list_model_versions(model)
        return self._pages(self._models.ListModelVersions, request, lambda page: page.model_versions)

    def promote(self, model_version: str, alias: str = "production") -> Model:
        """Points an alias at a version: `promote("sentiment/versions/3")`."""
        return self._call(self._models.PromoteModelVersion, requests.promote(model_version, alias))

    def rollback(self, model: str, from_version: str | None = None) -> ModelAlias:
        """Takes an alias back to the version before: `rollback("sentiment@staging")`, of `production` by default.

        `from_version` is the version that is to go; without it, the one that the alias points at now.
        """
        if from_version is None:
            from_version = alias_of(self.get_model(model.partition("@")[0]), model).model_version.name
        return self._call(self._models.RollbackModelAlias, requests.rollback(model, from_version))

    def set_promotion_policy(
        self,
        model: str,
        rules: Sequence[PromotionRule] = (),
        *,
        approvals: int = 0,
        evaluation_dataset: str = "",
    ) -> PromotionPolicy:
        """Sets the gate of an alias, `sentiment@staging`, of `production` by default; without anything it is opened.

        The service then points the alias only at versions that have passed: see `judge` and `approve`.
        """
        request = promotion.set_policy(model, rules, approvals, evaluation_dataset)
        return self._call(self._promotion.SetPromotionPolicy, request)

    def get_promotion_policy(self, model: str) -> PromotionPolicy:
        """Returns the gate of an alias, as of `set_promotion_policy`."""
        return self._call(self._promotion.GetPromotionPolicy, promotion.get_policy(model))

    def judge(
        self,
        model_version: str,
        alias: str = "production",
        *,
        progress: promotion.JudgementProgress | None = None,
    ) -> PromotionDecision:
        """Judges a version against the one that an alias points at, on the same rows, by the rules of the alias."""
        request = promotion.judge(model_version, alias)
        with self._open(self._promotion.JudgeModelVersion(request, metadata=self._metadata())) as stream:
            for message in stream:
                if message.WhichOneof("response") == "decision":
                    return message.decision
                if progress:
                    progress(promotion.stage_word(message.stage))
        raise UnavailableError(grpc.StatusCode.UNAVAILABLE, "the judgement ended without a decision")

    def approve(self, model_version: str, alias: str = "production", comment: str = "") -> PromotionDecision:
        """Approves a version for an alias, in the name of this client's principal."""
        request = promotion.approve(model_version, alias, comment)
        return self._call(self._promotion.ApproveModelVersion, request, idempotent=False)

    def list_promotion_decisions(self, model: str) -> Iterator[PromotionDecision]:
        """Yields what was decided on an alias, newest first; `sentiment@-` stands for all of a model."""
        request = promotion.decisions(model)
        return self._pages(self._promotion.ListPromotionDecisions, request, lambda page: page.decisions)

    def get_model_passport(self, model_version: str) -> ModelPassport:
        """Returns everything that a version came out of: data, code, machine, decisions, reproductions."""
        return self._call(self._passports.GetModelPassport, promotion.passport(model_version))

    def get_evaluation_report(
        self, name: str, *, language: str = "en", with_texts: bool = False, json: bool = False
    ) -> EvaluationReport:
        """Returns the report of a version, or of a judgement by its name, as a page of HTML or as JSON."""
        request = promotion.report(name, language, with_texts, json=json)
        return self._call(self._passports.GetEvaluationReport, request)

    def reproduce(self, model_version: str, *, request_id: str | None = None) -> TrainingJob:
        """Queues a job that makes a version again, and says at its end whether the same came out."""
        return self._call(self._jobs.ReproduceModelVersion, promotion.reproduce(model_version, request_id))

    def create_release(
        self,
        model: str,
        candidate: str,
        *,
        weight: int = 0,
        shadow: bool = False,
        rules: ReleaseRules | None = None,
    ) -> Release:
        """Tries a version on an alias: `create_release("sentiment@production", "sentiment/versions/3", weight=10)`."""
        request = requests.create_release(model, candidate, weight, shadow, rules)
        return self._call(self._models.CreateRelease, request, idempotent=False)

    def get_release(self, name: str) -> Release:
        """Returns a release, by its name."""
        return self._call(self._models.GetRelease, requests.get_release(name))

    def list_releases(self, model: str) -> Iterator[Release]:
        """Yields the releases of an alias, or, without one, of a model, newest first."""
        return self._pages(self._models.ListReleases, requests.list_releases(model), lambda page: page.releases)

    def update_release(self, name: str, *, weight: int | None = None, shadow: bool | None = None) -> Release:
        """Changes the weight of a release, whether it shadows, or both."""
        return self._call(self._models.UpdateRelease, requests.update_release(name, weight, shadow))

    def promote_release(self, name: str) -> Release:
        """Ends a release by pointing its alias at the candidate."""
        return self._call(self._models.PromoteRelease, requests.promote_release(name))

    def end_release(self, name: str, reason: str = "") -> Release:
        """Ends a release and leaves its alias where it is."""
        return self._call(self._models.EndRelease, requests.end_release(name, reason))

    def get_release_observation(self, name: str) -> ReleaseObservation:
        """Returns what the inference process that answers has seen of a release that runs."""
        return self._call(self._releases.GetReleaseObservation, requests.get_release_observation(name))

    def list_disagreements(self, name: str) -> Iterator[Disagreement]:
        """Yields rows that a release's shadow labelled otherwise, as one inference process has them, newest first."""
        request = requests.list_disagreements(name)
        return self._pages(self._releases.ListDisagreements, request, lambda page: page.disagreements)

    def predict(
        self,
        model: str,
        inputs: Sequence[Input],
        top_k: int = 0,
        *,
        threshold: float | None = None,
        routing_key: str = "",
        priority: Priority = "interactive",
        offset_unit: OffsetUnit = "code_point",
    ) -> Predictions:
        """Predicts on 1 to 1024 inputs with `sentiment`, `sentiment@alias`, `sentiment/versions/3` or `bundles/DIGEST`.

        An input is a string, a tuple of two for a pair, or a Text, Pair, QuestionContext or Query, as the model's task
        takes it. `top_k` cuts each answer to its best few, 0 leaves it whole (of answers to a question, the best one).
        `threshold` is the least probability of a label, name or answer, or the least score of a match. While a release
        tries another version, calls with one `routing_key` get the same one.
        """
        request = predicting.predict(model, inputs, top_k, threshold, routing_key, priority, offset_unit)
        return predictions_of(self._call(self._inference.Predict, request))

    def predict_stream(
        self,
        model: str,
        batches: Iterable[Batch],
        top_k: int = 0,
        *,
        threshold: float | None = None,
        routing_key: str = "",
        priority: Priority = "interactive",
        offset_unit: OffsetUnit = "code_point",
    ) -> Iterator[tuple[str, Predictions | RequestError]]:
        """Predicts on any number of batches over one stream; `predict` has the options.

        Each batch is `(id, inputs)`, read as it is needed. Yields `(id, answer)` as the answers are ready, in whatever
        order; of a batch that is refused, the answer is its error, and the others go on.
        """
        template = predicting.predict(model, [], top_k, threshold, routing_key, priority, offset_unit)
        messages = Kept(predicting.stream_request(template, batch) for batch in batches)
        stream = self._inference.PredictStream(messages, metadata=self._metadata())
        with self._open(stream), messages.raised_first():
            yield from map(stream_answer_of, stream)

    def explain(
        self,
        model: str,
        inputs: Sequence[Input],
        *,
        label: str = "",
        granularity: Granularity = "word",
        offset_unit: OffsetUnit = "code_point",
    ) -> Explanations:
        """Explains what the model says of 1 to 16 texts or pairs, word by word; for classes, labels and scores.

        Without `label`, the one that is answered for each text is explained. With the granularity `sentence`, whole
        sentences are hidden in place of words: which of them an answer rests on. Business fields are explained, too.
        """
        request = predicting.explain(model, inputs, label, granularity, offset_unit)
        return explanations_of(self._call(self._inference.Explain, request))

    def generate(
        self,
        base_model: str,
        prompt: str | None = None,
        *,
        messages: Sequence[tuple[str, str]] | None = None,
        max_tokens: int = 0,
        stop: Sequence[str] = (),
        sampling: Sampling | None = None,
    ) -> Iterator[GenerateResponse]:
        """Generates text with a language model, as it is made: yields `start`, any `delta`, and `end`.

        `"".join(part.delta.text for part in generate(...))` is the whole text. `messages` are the (role, content) turns
        of a chat, roles `system`, `user` and `assistant`. Leaving the loop early stops the work. It is asked for again,
        as other calls are, only while nothing of it has come.
        """
        request = requests.generate(base_model, prompt, messages, max_tokens, stop, sampling)
        timeout, retry, begun = requests.GENERATION_TIMEOUT_S, Retry(self._limits.patience), False
        while True:
            stream = self._generation.Generate(request, timeout=timeout, metadata=self._metadata())
            try:
                for part in stream:
                    begun = True
                    yield part
                return
            except grpc.RpcError as exc:
                if begun or (delay := retry.delay_after(exc)) is None:
                    raise error_of(exc) from None
            finally:
                stream.cancel()
            time.sleep(delay)

    def create_catalogue(self, catalogue_id: str, model: str) -> Catalogue:
        """Creates a catalogue without entries, pinned to the bundle that a model means now."""
        return self._call(self._catalogues.CreateCatalogue, catalogues.create(catalogue_id, model))

    def get_catalogue(self, name: str) -> Catalogue:
        """Returns a catalogue, or one of its versions: `faq/versions/3`."""
        return self._call(self._catalogues.GetCatalogue, catalogues.get(name))

    def list_catalogues(self) -> Iterator[Catalogue]:
        """Yields every catalogue, ordered by name."""
        return self._pages(self._catalogues.ListCatalogues, ListCataloguesRequest(), lambda page: page.catalogues)

    def list_catalogue_versions(self, catalogue: str) -> list[Catalogue]:
        """Returns the versions of a catalogue that are still kept, newest first."""
        request = catalogues.versions(catalogue)
        return list((self._call(self._catalogues.ListCatalogueVersions, request)).versions)

    def delete_catalogue(self, name: str) -> None:
        """Deletes a catalogue; not sent again by itself, because a second deletion is refused."""
        self._call(self._catalogues.DeleteCatalogue, catalogues.delete(name), idempotent=False)

    def update_catalogue_entries(
        self, catalogue: str, entries: Iterable[catalogues.Entry]
    ) -> UpdateCatalogueEntriesResponse:
        """Adds and replaces up to 1024 entries, ids with their texts: all of them, or none."""
        return self._call(self._catalogues.UpdateCatalogueEntries, catalogues.update(catalogue, entries))

    def import_catalogue_entries(
        self,
        catalogue: str,
        entries: Iterable[catalogues.Entry],
        *,
        replace: bool = False,
        model: str | None = None,
        progress: catalogues.ImportProgress | None = None,
    ) -> UpdateCatalogueEntriesResponse:
        """Adds and replaces any number of entries, in one change.

        With `replace`, entries that are not named are removed; with `model` too, the catalogue is pinned to the bundle
        that the model means now. `progress` gets how many were taken, in plain code from another thread. Entries
        in a list are sent again after UNAVAILABLE; what was embedded by then is not embedded again.
        """
        made = catalogues.Import(catalogue, replace=replace, model=model, progress=progress)
        again = isinstance(entries, Sequence)
        return self._sent(self._catalogues.ImportCatalogueEntries, lambda: made.messages(entries), again)

    def delete_catalogue_entries(self, catalogue: str, entry_ids: Sequence[str]) -> int:
        """Removes entries; returns how many there were."""
        request = catalogues.delete_entries(catalogue, entry_ids)
        return (self._call(self._catalogues.DeleteCatalogueEntries, request)).deleted_count

    def search_catalogue(
        self, catalogue: str, texts: Sequence[str], *, top_k: int = 0, threshold: float | None = None
    ) -> SearchCatalogueResponse:
        """Finds the entries nearest to 1 to 1024 texts; without `top_k`, ten for each."""
        request = catalogues.search(catalogue, texts, top_k, threshold)
        return self._call(self._catalogues.SearchCatalogue, request)

    def list_tokenizers(self) -> Iterator[pb.Tokenizer]:
        """Yields every tokenizer, ordered by digest."""
        return self._pages(self._tokenization.ListTokenizers, pb.ListTokenizersRequest(), lambda page: page.tokenizers)

    def get_tokenizer(self, name: str) -> pb.Tokenizer:
        """Returns a tokenizer, by digest or id."""
        return self._call(self._tokenization.GetTokenizer, requests.get_tokenizer(name))

    def register_tokenizer(
        self,
        tokenizer_id: str,
        *,
        folder: str | Path | None = None,
        package: str | None = None,
        package_folder: str = "",
        max_tokens: int = 0,
    ) -> pb.Tokenizer:
        """Registers a tokenizer from exactly one of a folder and an installed package of the service's machine."""
        request = requests.register_tokenizer(tokenizer_id, folder, package, package_folder, max_tokens)
        return self._call(self._tokenization.RegisterTokenizer, request)

    def derive_tokenizer(
        self, tokenizer: str, terms: Sequence[str], *, tokenizer_id: str = "", sample: Sequence[str] = ()
    ) -> pb.DeriveTokenizerResponse:
        """Makes a tokenizer that has each of the terms as one token; the report says what that changes on a sample."""
        request = requests.derive_tokenizer(tokenizer, terms, tokenizer_id, sample)
        return self._call(self._tokenization.DeriveTokenizer, request)

    def tokenize(
        self,
        tokenizer: str,
        texts: Sequence[str],
        pair_texts: Sequence[str] = (),
        *,
        max_tokens: int = 0,
        options: pb.TokenizeOptions | None = None,
    ) -> pb.TokenizeResponse:
        """Tokenizes texts or pairs; `token_rows(answer, answer.ids)` cuts an array of the answer into rows."""
        request = requests.tokenize(tokenizer, texts, pair_texts, max_tokens, options)
        return self._call(self._tokenization.Tokenize, request)

    def tokenize_stream(
        self,
        tokenizer: str,
        batches: Iterable[Sequence[str]],
        *,
        max_tokens: int = 0,
        options: pb.TokenizeOptions | None = None,
    ) -> Iterator[pb.TokenizeStreamResponse]:
        """Tokenizes any number of batches, read as they are needed; yields their rows in order."""

        def messages() -> Iterator[pb.TokenizeStreamRequest]:
            yield requests.stream_settings(tokenizer, max_tokens, options)
            yield from map(requests.stream_batch, batches)

        kept = Kept(messages())
        stream = self._tokenization.TokenizeStream(kept, metadata=self._metadata())
        with self._open(stream), kept.raised_first():
            yield from stream

    def count_tokens(self, tokenizer: str, texts: Sequence[str], pair_texts: Sequence[str] = ()) -> list[int]:
        """Returns the number of tokens of each text, or pair, special tokens included and nothing cut."""
        request = requests.count_tokens(tokenizer, texts, pair_texts)
        return list(self._call(self._tokenization.CountTokens, request).counts)

    def decode(self, tokenizer: str, rows: Sequence[Sequence[int]], *, keep_special_tokens: bool = False) -> list[str]:
        """Returns the text of each row of ids."""
        request = requests.decode(tokenizer, rows, keep_special_tokens)
        return list(self._call(self._tokenization.Decode, request).texts)

    def look_up_vocabulary(
        self, tokenizer: str, tokens: Sequence[str] = (), ids: Sequence[int] = ()
    ) -> pb.LookUpVocabularyResponse:
        """Returns the id of each token, -1 for none, and the token of each id."""
        request = requests.look_up_vocabulary(tokenizer, tokens, ids)
        return self._call(self._tokenization.LookUpVocabulary, request)

    def analyze_texts(
        self, tokenizer: str, texts: Sequence[str], pair_texts: Sequence[str] = (), *, max_tokens: int = 0
    ) -> pb.TextReport:
        """Describes a sample of texts: lengths, what `max_tokens` would cut, unknown tokens, languages and scripts."""
        request = requests.analyze_texts(tokenizer, texts, pair_texts, max_tokens)
        return self._call(self._tokenization.AnalyzeTexts, request)

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        self._check_open()
        return self._caller.metadata()

    def _call(
        self,
        method: grpc.UnaryUnaryMultiCallable[Req, Res],
        request: Req,
        *,
        idempotent: bool = True,
        seconds: float | None = None,
    ) -> Res:
        timeout = seconds or self._limits.timeout
        with calling(self._tracer, rpc_of(request)):
            return self._retried(lambda: method(request, timeout=timeout, metadata=self._metadata()), idempotent)

    def _worked(self, stream: Iterator[Res], progress: gate.WorkProgress | None) -> Res:
        """Returns the last message of a work on a dataset, and tells of those before."""
        last: Any = None
        with self._open(stream):
            for last in stream:
                if progress and last.WhichOneof("message") == "progress":
                    progress(last.progress)
        made: Res = last
        return made

    def _sent(
        self,
        method: grpc.StreamUnaryMultiCallable[Req, Res],
        messages: Callable[[], Iterable[Req]],
        idempotent: bool = True,
    ) -> Res:
        """Sends messages, from the first one on with each try."""

        def attempt() -> Res:
            kept = Kept(messages())
            with kept.raised_first():
                return method(kept, metadata=self._metadata())

        return self._retried(attempt, idempotent)

    @contextmanager
    def _open(self, stream: Stream) -> Iterator[Stream]:
        """Gives a stream, which ends with the block, and turns what grpc raises into this package's errors."""
        try:
            yield stream
        except grpc.RpcError as exc:
            raise error_of(exc) from None
        finally:
            stream.cancel()  # type: ignore[attr-defined]

    def _check_open(self) -> None:
        """Raises RequestError when the client was closed."""
        if self._closed:
            raise closed()

    def _retried(self, attempt: Callable[[], Res], idempotent: bool = True) -> Res:
        retry = Retry(self._limits.patience)
        while True:
            try:
                return attempt()
            except grpc.RpcError as exc:
                if not idempotent or (delay := retry.delay_after(exc)) is None:
                    raise error_of(exc) from None
                time.sleep(delay)

    def _pages(
        self,
        method: grpc.UnaryUnaryMultiCallable[PagedReq, PageRes],
        request: PagedReq,
        items: Callable[[PageRes], Iterable[T]],
    ) -> Iterator[T]:
        while True:
            page = self._call(method, request)
            yield from items(page)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def _events(self, watch: Watch) -> Iterator[TrainingEvent]:
        with self._open(self._jobs.WatchTrainingJob(watch.request(), metadata=self._metadata())) as stream:
            yield from filter(watch.is_new, stream)
        # A service that stops ends its streams early: only the job itself says whether it has ended.
        if not watch.ended:
            request = requests.get_training_job(watch.job)
            watch.note_state((self._call(self._jobs.GetTrainingJob, request, idempotent=False)).state)

    def _health_problem(self, stub: health_pb2_grpc.HealthStub, left_s: float) -> UnavailableError | None:
        self._check_open()
        request, timeout = health_pb2.HealthCheckRequest(), health_timeout_s(left_s)
        try:
            return not_ready(stub.Check(request, timeout=timeout))  # type: ignore[attr-defined]
        except grpc.RpcError as exc:
            return not_there(exc)
