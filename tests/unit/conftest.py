"""A fake suite for the twins of `client` and `cli`: real gRPC servers on loopback, with the real error interceptor."""

import asyncio
import itertools
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from symbiont.api.inference.v1 import (
    generation_pb2,
    generation_pb2_grpc,
    inference_pb2,
    inference_pb2_grpc,
    release_pb2,
    release_pb2_grpc,
)
from symbiont.api.training.v1 import (
    base_model_pb2,
    base_model_pb2_grpc,
    dataset_pb2,
    dataset_pb2_grpc,
    erasure_pb2,
    erasure_pb2_grpc,
    model_pb2,
    model_pb2_grpc,
    training_job_pb2,
    training_job_pb2_grpc,
)
from symbiont.common.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Unavailable
from symbiont.common.metrics import ServiceMetrics
from symbiont.common.pages import page_of
from symbiont.common.principal import METADATA_KEY, TENANT_KEY, Anybody, Principal
from symbiont.common.server import NOT_SERVING, SERVING, Lifecycle, Registration, build_server
from symbiont.common.settings import ServiceSettings


@dataclass
class FakeState:
    """What the fakes hold, and the faults that a test orders."""

    bases: dict[str, base_model_pb2.BaseModel] = field(default_factory=dict)
    quantized_with: list[str] = field(default_factory=list)
    datasets: dict[str, dataset_pb2.Dataset] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    forgotten: list[str] = field(default_factory=list)
    # What an erasure with that request id was answered, and whether the next one goes unanswered.
    erasures: dict[str, erasure_pb2.ForgetSubjectResponse] = field(default_factory=dict)
    unanswered: bool = False
    jobs: dict[str, training_job_pb2.TrainingJob] = field(default_factory=dict)
    requests: dict[str, training_job_pb2.TrainingJob] = field(default_factory=dict)
    events: dict[str, list[training_job_pb2.TrainingEvent]] = field(default_factory=dict)
    models: dict[str, model_pb2.Model] = field(default_factory=dict)
    versions: dict[str, model_pb2.ModelVersion] = field(default_factory=dict)
    releases: dict[str, model_pb2.Release] = field(default_factory=dict)
    disagreements: dict[str, release_pb2.Disagreement] = field(default_factory=dict)
    routing_keys: list[str] = field(default_factory=list)
    generations: list[generation_pb2.GenerateRequest] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    # RPC -> principal and tenant that its last call said.
    callers: dict[str, tuple[str, str]] = field(default_factory=dict)
    watched_after: list[int] = field(default_factory=list)
    predicted: list[inference_pb2.PredictRequest] = field(default_factory=list)
    # Method -> how many of its next calls answer UNAVAILABLE.
    unavailable: Counter[str] = field(default_factory=Counter)
    # Method -> seconds that each of its calls takes before it is answered, or fails.
    seconds: dict[str, float] = field(default_factory=dict)
    # A watch breaks after so many events, as often as there are entries; -1 ends the stream without an error.
    breaks: list[int] = field(default_factory=list)
    # Seconds for which a watch is silent before it breaks.
    silence: float = 0.0
    # What a worker has printed, and the bytes after which a log that is followed breaks, as often as there are entries.
    log: bytes = b"one line\n"
    log_breaks: list[int] = field(default_factory=list)
    log_offsets: list[int] = field(default_factory=list)
    # Jobs stay queued until somebody watches them.
    train_when_watched: bool = False

    def enter(self, method: str) -> None:
        """Counts a call, and fails it when that was ordered."""
        self.calls[method] += 1
        if self.unavailable[method] > 0:
            self.unavailable[method] -= 1
            raise Unavailable("ordered by the test")

    async def take_time(self, method: str) -> None:
        """Waits as long as was ordered; counts callers that leave meanwhile."""
        try:
            await asyncio.sleep(self.seconds.get(method, 0))
        except asyncio.CancelledError:
            self.calls["left"] += 1
            raise

    def finish(self, job: str, losses: tuple[float, ...] = (0.9, 0.4)) -> None:
        """Writes the events of a whole training, and makes its model version."""
        pb = training_job_pb2
        record, base = self.jobs[job], self.jobs[job].spec.derived_base
        version = "" if base else f"{record.spec.model}/versions/1"
        evaluation = pb.Evaluation(row_count=10, accuracy=0.9, macro_f1=0.88, labels=["no", "yes"])
        evaluation.confusion_matrix.extend([5, 0, 1, 4])
        parts: list[dict[str, Any]] = [
            {"state_change": pb.StateChange(old_state=pb.JOB_STATE_QUEUED, new_state=pb.JOB_STATE_RUNNING)},
            *(
                {"progress": pb.Progress(step=i + 1, total_steps=len(losses), loss=loss)}
                for i, loss in enumerate(losses)
            ),
            {"log_line": pb.LogLine(text="hello from the worker")},
            {"evaluation": evaluation},
            {"state_change": pb.StateChange(new_state=pb.JOB_STATE_SUCCEEDED, model_version=version)},
        ]
        self.events[job] = [pb.TrainingEvent(job=job, event_id=i, attempt=1, **p) for i, p in enumerate(parts, 1)]
        record.state, record.model_version, record.derived_base = pb.JOB_STATE_SUCCEEDED, version, base
        record.evaluation.CopyFrom(evaluation)
        if base:
            source = base_model_pb2.BaseModelSource(training_job=job)
            self.bases[base] = base_model_pb2.BaseModel(name=base, source=source, parent=record.spec.base_model)
            return
        self.models[record.spec.model] = model_pb2.Model(name=record.spec.model, latest_version=1)
        self.versions[version] = model_pb2.ModelVersion(
            name=version, training_job=job, bundle_digest="b" * 64, evaluation=evaluation
        )


def _get(table: dict[str, Any], name: str) -> Any:
    if name not in table:
        raise NotFound(f"{name} does not exist", reason="NO_SUCH_RESOURCE")
    return table[name]


def _page(table: dict[str, Any], request: Any) -> tuple[list[Any], str]:
    # Pages of two, so that a listing of three shows whether the client turns them.
    return page_of(sorted(table.items()), request.page_size or 2, request.page_token)


class _Bases(base_model_pb2_grpc.BaseModelServiceServicer):
    def __init__(self, state: FakeState) -> None:
        self.state = state

    async def RegisterBaseModel(self, request: Any, context: Any) -> Any:
        self.state.enter("RegisterBaseModel")
        name = f"bases/{request.base_model_id}"
        base = base_model_pb2.BaseModel(name=name, digest="a" * 64, tokenizer_digest="f" * 64)
        base.MergeFrom(request.base_model)
        return self.state.bases.setdefault(name, base)

    async def UpdateBaseModel(self, request: Any, context: Any) -> Any:
        base = _get(self.state.bases, request.base_model.name)
        for path in request.update_mask.paths:
            base.ClearField(path)
            base.MergeFrom(base_model_pb2.BaseModel(**{path: getattr(request.base_model, path)}))
        return base

    async def QuantizeBaseModel(self, request: Any, context: Any) -> Any:
        base = _get(self.state.bases, request.name)
        if len(request.texts) < 100:
            raise InvalidArgument("texts", "too few")
        self.state.quantized_with[:] = request.texts
        for stage in (base_model_pb2.QUANTIZATION_STAGE_TOKENIZING, base_model_pb2.QUANTIZATION_STAGE_QUANTIZING):
            yield base_model_pb2.QuantizeBaseModelResponse(stage=stage)
        base.quantized_digest = "9" * 64
        yield base_model_pb2.QuantizeBaseModelResponse(base_model=base)

    async def GetBaseModel(self, request: Any, context: Any) -> Any:
        return _get(self.state.bases, request.name)

    async def ListBaseModels(self, request: Any, context: Any) -> Any:
        items, token = _page(self.state.bases, request)
        return base_model_pb2.ListBaseModelsResponse(base_models=items, next_page_token=token)


class _Datasets(dataset_pb2_grpc.DatasetServiceServicer):
    def __init__(self, state: FakeState) -> None:
        self.state = state

    async def CreateDataset(self, request_iterator: Any, context: Any) -> Any:
        self.state.enter("CreateDataset")
        header, body = None, b""
        async for message in request_iterator:
            if message.WhichOneof("message") == "header":
                header = message.header
            else:
                assert len(message.chunk) <= 4 << 20
                body += message.chunk
        if not body:
            raise InvalidArgument("chunk", "the file is empty", reason="EMPTY_FILE")
        await self.state.take_time("CreateDataset")
        name = f"datasets/{header.dataset_id}"
        assert header.byte_count == len(body)
        dataset = dataset_pb2.Dataset(name=name, byte_count=len(body), row_count=body.count(b"\n") - 1)
        dataset.MergeFrom(header.dataset)
        self.state.datasets[name], self.state.uploads[name] = dataset, body
        return dataset

    async def GetDataset(self, request: Any, context: Any) -> Any:
        return _get(self.state.datasets, request.name)

    async def ListDatasets(self, request: Any, context: Any) -> Any:
        items, token = _page(self.state.datasets, request)
        return dataset_pb2.ListDatasetsResponse(datasets=items, next_page_token=token)


class _Erasures(erasure_pb2_grpc.ErasureServiceServicer):
    """Knows one subject, `ann`, until it is forgotten."""

    def __init__(self, state: FakeState) -> None:
        self.state = state

    async def ForgetSubject(self, request: Any, context: Any) -> Any:
        self.state.enter("ForgetSubject")
        if answer := self.state.erasures.get(request.request_id):
            return answer
        done = erasure_pb2.ForgetSubjectResponse(subject_digest="5" * 64)
        if request.retrain:
            done.retraining_jobs.append("jobs/j9")
            done.not_retrained.add(model_version="models/m/versions/3", reason="it starts from models/m/versions/2")
        if request.subject != "ann" or request.subject in self.state.forgotten:
            return done
        new = "" if request.dry_run else "2" * 64
        done.datasets.add(names=["datasets/rows"], digest="1" * 64, rows=range(12), new_digest=new)
        done.model_versions.add(name="models/m/versions/2", bundle_digest="3" * 64, aliases=["production"])
        done.training_jobs.append("jobs/j1")
        done.checkpoints.add(training_job="jobs/j1", digest="4" * 64)
        if not request.dry_run:
            self.state.forgotten.append(request.subject)
            self.state.erasures[request.request_id] = done
            if self.state.unanswered:
                self.state.unanswered = False
                raise Unavailable("gone before it answered")
        return done


class _Jobs(training_job_pb2_grpc.TrainingJobServiceServicer):
    def __init__(self, state: FakeState) -> None:
        self.state = state
        self.numbers = itertools.count(1)

    async def CreateTrainingJob(self, request: Any, context: Any) -> Any:
        self.state.enter("CreateTrainingJob")
        spec = request.training_job.spec
        if spec.hyperparameters.HasField("epochs") and spec.hyperparameters.epochs < 1 and not spec.derived_base:
            raise InvalidArgument("training_job.spec.hyperparameters.epochs", "it must be at least 1")
        _get(self.state.datasets, spec.dataset)
        if request.validate_only:
            return training_job_pb2.TrainingJob(spec=spec)
        if known := self.state.requests.get(request.request_id):
            if known.spec != spec:
                raise AlreadyExists(f"request id {request.request_id} was used with another body")
            return known
        job = training_job_pb2.TrainingJob(
            name=f"jobs/j{next(self.numbers)}", spec=spec, state=training_job_pb2.JOB_STATE_QUEUED
        )
        self.state.jobs[job.name] = self.state.requests[request.request_id] = job
        if not self.state.train_when_watched:
            self.state.finish(job.name)
        return job

    async def GetTrainingJob(self, request: Any, context: Any) -> Any:
        return _get(self.state.jobs, request.name)

    async def ListTrainingJobs(self, request: Any, context: Any) -> Any:
        jobs = self.state.jobs.items()
        asked = {name: job for name, job in jobs if not request.states or job.state in request.states}
        items, token = _page(asked, request)
        return training_job_pb2.ListTrainingJobsResponse(training_jobs=items, next_page_token=token)

    async def CancelTrainingJob(self, request: Any, context: Any) -> Any:
        self.state.enter("CancelTrainingJob")
        job = _get(self.state.jobs, request.name)
        if job.state == training_job_pb2.JOB_STATE_SUCCEEDED:
            raise FailedPrecondition(f"{request.name} has already ended")
        job.state = training_job_pb2.JOB_STATE_CANCELLED
        return job

    async def ReadTrainingLog(self, request: Any, context: Any) -> Any:
        self.state.enter("ReadTrainingLog")
        await self.state.take_time("ReadTrainingLog")
        self.state.log_offsets.append(request.offset)
        log, breaks = self.state.log, self.state.log_breaks
        start = max(request.offset, len(log) - request.tail_bytes if request.tail_bytes else 0)
        for at in range(start, len(log), 4):
            if request.follow and breaks and at >= breaks[0]:
                breaks.pop(0)
                raise Unavailable("ordered by the test")
            yield training_job_pb2.ReadTrainingLogResponse(attempt=1, offset=at, chunk=log[at : at + 4])

    async def WatchTrainingJob(self, request: Any, context: Any) -> Any:
        self.state.watched_after.append(request.after_event_id)
        if _get(self.state.jobs, request.name).state == training_job_pb2.JOB_STATE_QUEUED:
            self.state.finish(request.name)
        left = self.state.breaks.pop(0) if self.state.breaks else None
        for event in self.state.events[request.name][request.after_event_id :]:
            if left == 0:
                await asyncio.sleep(self.state.silence)
                raise Unavailable("ordered by the test")
            if left == -1:
                return
            left = left - 1 if left is not None else None
            yield event


class _Models(model_pb2_grpc.ModelServiceServicer):
    def __init__(self, state: FakeState) -> None:
        self.state = state

    async def GetModel(self, request: Any, context: Any) -> Any:
        await self.state.take_time("GetModel")
        self.state.enter("GetModel")
        return _get(self.state.models, request.name)

    async def ListModels(self, request: Any, context: Any) -> Any:
        items, token = _page(self.state.models, request)
        return model_pb2.ListModelsResponse(models=items, next_page_token=token)

    async def GetModelVersion(self, request: Any, context: Any) -> Any:
        return _get(self.state.versions, request.name)

    async def ListModelVersions(self, request: Any, context: Any) -> Any:
        mine = {k: v for k, v in self.state.versions.items() if k.startswith(f"{request.parent}/")}
        items, token = _page(mine, request)
        return model_pb2.ListModelVersionsResponse(model_versions=items, next_page_token=token)

    async def PromoteModelVersion(self, request: Any, context: Any) -> Any:
        version = _get(self.state.versions, request.name)
        model = self.state.models[request.name.rpartition("/versions/")[0]]
        alias = model_pb2.ModelAlias(model=model.name, alias=request.alias or "production", model_version=version)
        if model.aliases:
            alias.previous_version = model.aliases[0].model_version.name
        del model.aliases[:]
        model.aliases.append(alias)
        return model

    async def RollbackModelAlias(self, request: Any, context: Any) -> Any:
        self.state.enter("RollbackModelAlias")
        alias = self._alias(request.name)
        if alias.model_version.name == request.from_version:
            if not alias.previous_version:
                raise FailedPrecondition("there is no version before")
            alias.model_version.CopyFrom(_get(self.state.versions, alias.previous_version))
            alias.previous_version = request.from_version
        return alias

    async def CreateRelease(self, request: Any, context: Any) -> Any:
        self.state.enter("CreateRelease")
        alias = self._alias(request.parent)
        release = model_pb2.Release(
            name=f"{request.parent}/releases/r{len(self.state.releases) + 1}",
            candidate_version=_get(self.state.versions, request.release.candidate),
            baseline=alias.model_version.name,
            state=model_pb2.RELEASE_STATE_ACTIVE,
        )
        release.MergeFrom(request.release)
        self.state.releases[release.name] = release
        alias.release.CopyFrom(release)
        return release

    async def GetRelease(self, request: Any, context: Any) -> Any:
        return _get(self.state.releases, request.name)

    async def ListReleases(self, request: Any, context: Any) -> Any:
        parent = request.parent.removesuffix("-")
        items, token = _page({k: v for k, v in self.state.releases.items() if k.startswith(parent)}, request)
        return model_pb2.ListReleasesResponse(releases=items, next_page_token=token)

    async def UpdateRelease(self, request: Any, context: Any) -> Any:
        release = _get(self.state.releases, request.release.name)
        for path in request.update_mask.paths:
            setattr(release, path, getattr(request.release, path))
        return release

    async def PromoteRelease(self, request: Any, context: Any) -> Any:
        return self._end(request.name, model_pb2.RELEASE_STATE_PROMOTED, "the alias points at the candidate")

    async def EndRelease(self, request: Any, context: Any) -> Any:
        return self._end(request.name, model_pb2.RELEASE_STATE_ENDED, request.reason)

    def _end(self, name: str, state: Any, reason: str) -> Any:
        release = _get(self.state.releases, name)
        release.state, release.end_reason = state, reason
        alias = self._alias(name.partition("/releases/")[0])
        alias.ClearField("release")
        if state == model_pb2.RELEASE_STATE_PROMOTED:
            alias.model_version.CopyFrom(release.candidate_version)
        return release

    def _alias(self, name: str) -> Any:
        model, _, wanted = name.partition("/aliases/")
        for alias in _get(self.state.models, model).aliases:
            if alias.alias == wanted:
                return alias
        raise NotFound(f"{name} does not exist")


class _Releases(release_pb2_grpc.ReleaseServiceServicer):
    def __init__(self, state: FakeState) -> None:
        self.state = state

    async def GetReleaseObservation(self, request: Any, context: Any) -> Any:
        self.state.enter("GetReleaseObservation")
        release = _get(self.state.releases, request.release)
        pb = release_pb2
        label = pb.LabelCount(label="yes", row_count=3)
        return pb.ReleaseObservation(
            release=release.name,
            candidate_in_use=release.weight > 0,
            baseline=pb.VersionObservation(model_version=release.baseline, call_count=9, p99_seconds=0.0125),
            candidate=pb.VersionObservation(model_version=release.candidate, call_count=3, labels=[label]),
            shadow=pb.ShadowObservation(row_count=8, disagreement_count=2, mean_score_shift=0.125, missed_row_count=1),
        )

    async def ListDisagreements(self, request: Any, context: Any) -> Any:
        _get(self.state.releases, request.parent)
        items, token = _page(self.state.disagreements, request)
        return release_pb2.ListDisagreementsResponse(disagreements=items, next_page_token=token)


class _Inference(inference_pb2_grpc.InferenceServiceServicer):
    def __init__(self, state: FakeState) -> None:
        self.state = state

    async def Predict(self, request: Any, context: Any) -> Any:
        self.state.enter("Predict")
        self.state.routing_keys.append(request.routing_key)
        pb = inference_pb2
        _get(self.state.models, request.model.partition("@")[0].partition("/versions/")[0])
        response = pb.PredictResponse(served_model=pb.ServedModel(model_version="models/m/versions/1"))
        response.stage_times.infer.FromMilliseconds(3)
        self.state.predicted.append(request)
        for i, instance in enumerate(request.instances):
            if instance.WhichOneof("input") in (None, "text") and not instance.text:
                raise InvalidArgument(f"instances[{i}].text", "the text is empty", reason="EMPTY_TEXT")
            response.predictions.append(_predicted(instance, request))
        return response

    async def PredictStream(self, request_iterator: Any, context: Any) -> Any:
        """Answers two requests at a time, the later one first."""
        waiting: list[Any] = []
        async for request in request_iterator:
            try:
                outcome = {"response": await self.Predict(request.request, context)}
            except InvalidArgument as exc:
                error = inference_pb2.Error(code=3, reason=exc.reason, message=str(exc), field=exc.field or "")
                outcome = {"error": error}
            waiting.append(inference_pb2.PredictStreamResponse(id=request.id, **outcome))
            if len(waiting) == 2:
                yield waiting.pop()
                yield waiting.pop()
        for response in waiting:
            yield response

    async def Explain(self, request: Any, context: Any) -> Any:
        self.state.enter("Explain")
        pb = inference_pb2
        response = pb.ExplainResponse(served_model=pb.ServedModel(model_version="models/m/versions/1"))
        for instance in request.instances:
            explanation = response.explanations.add(label=request.label or "yes", value=0.75)
            texts = [instance.pair.first, instance.pair.second] if instance.HasField("pair") else [instance.text]
            whole = request.granularity == pb.GRANULARITY_SENTENCE
            for sequence, text in enumerate(texts):
                for start, word in [(0, text)] if whole else _words(text):
                    weight, end = 0.5 if "good" in word else -0.25, start + len(word)
                    explanation.words.add(text=word, start=start, end=end, attribution=weight, sequence=sequence)
            for given in instance.fields:
                explanation.fields.add(name=given.name, attribution=0.125)
        return response


def _words(text: str) -> Iterator[tuple[int, str]]:
    for match in re.finditer(r"\S+", text):
        yield match.start(), match[0]


def _predicted(instance: Any, request: Any) -> Any:
    """Returns what a model would say whose task is told by the input: by its kind, or by the first word of a text."""
    pb = inference_pb2
    kind, first = instance.WhichOneof("input"), instance.text.partition(" ")[0]
    made = pb.Prediction(truncated=len(instance.text) > 100)
    if kind == "pair":
        made.similarity.cosine = 0.5
    elif kind == "question_context":
        context = instance.question_context.context
        made.answer_spans.no_answer_probability = 0.25
        if len(context.split()) > 1:
            made.answer_spans.spans.add(text=context[:5], start=0, end=5, probability=0.75)
    elif kind == "query":
        for place in range(2 if instance.query.catalogue else len(instance.query.texts.texts)):
            made.ranking.matches.add(index=place, id="e1" if instance.query.catalogue else "", score=1 / (1 + place))
    elif instance.fields:
        made.score.value = sum(field.number + field.flag for field in instance.fields)
    elif first == "names":
        made.entities.entities.add(type="PER", text=instance.text[6:], start=6, end=len(instance.text), probability=0.5)
    elif first == "topics":
        made.multi_label.labels.add(label="sport", probability=0.75)
    elif first == "vector":
        made.embedding.values.extend([0.6, 0.8])
    else:
        best = "yes" if "good" in instance.text else "no"
        classes = [pb.ClassProbability(label=best, probability=0.75)]
        classes.append(pb.ClassProbability(label="no" if best == "yes" else "yes", probability=0.25))
        made.classification.classes.extend(classes[: request.top_k or None])
        made.classification.decided.CopyFrom(classes[0])
    return made


class _Generation(generation_pb2_grpc.GenerationServiceServicer):
    """Says what it was asked, word by word; at `hang` it waits for the caller to leave, at `break` it fails."""

    def __init__(self, state: FakeState) -> None:
        self.state = state

    async def Generate(self, request: Any, context: Any) -> Any:
        self.state.enter("Generate")
        pb = generation_pb2
        _get(self.state.bases, request.base_model)
        if request.sampling.top_p > 1:
            raise InvalidArgument("sampling.top_p", "2 is not over 0 and up to 1", reason="SAMPLING")
        self.state.generations.append(request)
        served = pb.ServedGenerator(base_model=request.base_model, base_digest="a" * 64, tokenizer_digest="f" * 64)
        yield pb.GenerateResponse(start=pb.GenerationStart(served_generator=served))
        text = request.prompt or " ".join(f"{m.role}:{m.content}" for m in request.chat.messages)
        words = text.split()
        for count, word in enumerate(words, 1):
            yield pb.GenerateResponse(delta=pb.TextDelta(text=f"{word} ", output_tokens=count))
            if word == "break":
                raise Unavailable("ordered by the test")
            if word == "hang":
                try:
                    await asyncio.sleep(60)
                finally:
                    self.state.calls["left"] += 1
        end = pb.GenerationEnd(finish_reason=pb.FINISH_REASON_EOS, prompt_tokens=3, output_tokens=len(words))
        end.times.first_token.FromMilliseconds(5)
        yield pb.GenerateResponse(end=end)


class _Noting(Anybody):
    """Lets everybody do everything, and notes whom they said that they are."""

    def __init__(self, state: FakeState) -> None:
        self.state = state

    def admit(self, method: str, context: Any) -> Principal:
        said = dict(context.invocation_metadata())
        caller = said.get(METADATA_KEY, ""), said.get(TENANT_KEY, "")
        self.state.callers[method.rpartition("/")[2]] = caller
        return super().admit(method, context)


class FakeSuite:
    """Both services on one port, in a thread of their own; may be stopped and started again on the same port."""

    def __init__(self) -> None:
        self.state = FakeState()
        self.address = "127.0.0.1:0"
        self._metrics = ServiceMetrics("fake")

    def start(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        if self.loop.is_running():
            self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def set_serving(self, serving: bool) -> None:
        coroutine = self._lifecycle.health.set("", SERVING if serving else NOT_SERVING)
        asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(5)

    def _run(self) -> None:
        self.loop.run_until_complete(self._serve())
        self.loop.close()

    async def _serve(self) -> None:
        training = "symbiont.training.v1"
        services = [
            Registration(
                f"{training}.BaseModelService",
                _Bases(self.state),
                base_model_pb2_grpc.add_BaseModelServiceServicer_to_server,
            ),
            Registration(
                f"{training}.DatasetService",
                _Datasets(self.state),
                dataset_pb2_grpc.add_DatasetServiceServicer_to_server,
            ),
            Registration(
                f"{training}.ErasureService",
                _Erasures(self.state),
                erasure_pb2_grpc.add_ErasureServiceServicer_to_server,
            ),
            Registration(
                f"{training}.TrainingJobService",
                _Jobs(self.state),
                training_job_pb2_grpc.add_TrainingJobServiceServicer_to_server,
            ),
            Registration(
                f"{training}.ModelService", _Models(self.state), model_pb2_grpc.add_ModelServiceServicer_to_server
            ),
            Registration(
                "symbiont.inference.v1.ReleaseService",
                _Releases(self.state),
                release_pb2_grpc.add_ReleaseServiceServicer_to_server,
            ),
            Registration(
                "symbiont.inference.v1.InferenceService",
                _Inference(self.state),
                inference_pb2_grpc.add_InferenceServiceServicer_to_server,
            ),
            Registration(
                "symbiont.inference.v1.GenerationService",
                _Generation(self.state),
                generation_pb2_grpc.add_GenerationServiceServicer_to_server,
            ),
        ]
        self._lifecycle = Lifecycle()
        settings = ServiceSettings(address=self.address)
        server = build_server(settings, self._metrics, self._lifecycle, services, guard=_Noting(self.state))
        await self._lifecycle.health.set("", SERVING)
        port = _bind(server, self.address)
        self.address = f"127.0.0.1:{port}"
        await server.start()
        self._ready.set()
        await self._stop.wait()
        await server.stop(0)


def _bind(server: Any, address: str) -> int:
    for _ in range(50):
        try:
            return int(server.add_insecure_port(address))
        except RuntimeError:
            time.sleep(0.1)
    raise TimeoutError(address)


@pytest.fixture
def make_suite() -> Iterator[Callable[[], FakeSuite]]:
    """Starts fakes of the training and inference services."""
    with ExitStack() as stack:

        def make() -> FakeSuite:
            fake = FakeSuite()
            fake.start()
            stack.callback(fake.stop)
            return fake

        yield make


@pytest.fixture
def suite(make_suite: Callable[[], FakeSuite]) -> FakeSuite:
    """A running fake of the training and inference services."""
    return make_suite()
