"""Training jobs as callers see them: checked, queued, watched, cancelled."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from symbiont.common.artifacts import ArtifactStore, canonical_json
from symbiont.common.errors import InvalidArgument, NotFound
from symbiont.training.notifier import Notifier, first_of
from symbiont.training.spec import TrainingSpec
from symbiont.training.store import Store
from symbiont.training.types import BaseModel, Dataset, Event, Inputs, Job, JobQuery, WorkerReport

SPEC = "training_job.spec"
DEFAULT_MAX_TOKENS = 256
# What LoRA changes unless told otherwise: the query and value projections, by the names that each family gives them.
DEFAULT_TARGETS = ("query", "value", "q_lin", "v_lin")
T = TypeVar("T")


class Jobs:
    """The jobs of the registry. Database work runs in threads, notifications on the event loop."""

    def __init__(self, store: Store, artifacts: ArtifactStore, notifier: Notifier, stopping: asyncio.Event) -> None:
        self._store = store
        self._artifacts = artifacts
        self._notifier = notifier
        self._stopping = stopping

    async def create(self, spec: TrainingSpec, request_id: str) -> Job:
        """Checks a spec against the registry and queues it."""
        if len(request_id) > 128:
            raise InvalidArgument("request_id", "it is over 128 characters")
        digest = hashlib.sha256(canonical_json(spec.model_dump(mode="json"))).hexdigest()

        def add() -> tuple[Job, bool]:
            resolved, inputs = resolve(spec, self._store)
            return self._store.add_job(resolved, inputs, request_id, digest)

        job, _ = await asyncio.to_thread(add)
        self._notifier.notify(Notifier.QUEUE)
        return job

    async def get(self, identifier: str) -> Job:
        """Returns a job."""
        return await asyncio.to_thread(self._store.job, identifier)

    async def list(self, query: JobQuery, after: int | None, limit: int) -> list[tuple[int, Job]]:
        """Returns jobs in the order of the query, each with the number by which the next page goes on."""
        return await asyncio.to_thread(self._store.jobs, query, after, limit)

    async def cancel(self, identifier: str) -> Job:
        """Cancels a job: at once while it waits, at its next step while it trains."""
        return await self._change_job(identifier, self._store.cancel, identifier, "a caller cancelled it")

    async def take(self, message: WorkerReport) -> Job:
        """Applies a worker's report."""
        return await self._change_job(message.job, self._store.take, message)

    async def begin_attempt(self, identifier: str) -> Job:
        """Commits the intent to launch the next attempt."""
        return await self._change_job(identifier, self._store.begin_attempt, identifier)

    async def lose_attempt(self, identifier: str, attempt: int, reason: str, limit: int) -> Job | None:
        """Records that a worker is gone; None when its last report came first."""
        return await self._change_job(identifier, self._store.lose_attempt, identifier, attempt, reason, limit)

    async def _change_job(self, identifier: str, operation: Callable[..., T], *arguments: Any) -> T:
        """Runs a store operation on a job in a thread, then wakes whoever watches the job, and the scheduler.

        A checkpoint that the change makes useless goes, once the change is committed.
        """

        def change() -> T:
            previous = self._store.job(identifier).checkpoint_digest
            result = operation(*arguments)
            job = self._store.job(identifier)
            useless = {previous} - ({job.checkpoint_digest} if not job.state.ended else set())
            for digest in filter(None, useless):
                self._artifacts.delete("checkpoints", digest)
            return result

        result = await asyncio.to_thread(change)
        self._notifier.notify(identifier)
        self._notifier.notify(Notifier.QUEUE)
        return result

    async def watch(self, identifier: str, after: int) -> AsyncIterator[Event]:
        """Yields the events of a job after an id, until the job has ended or the service stops."""
        if after < 0:
            raise InvalidArgument("after_event_id", f"{after} is negative")
        await self.get(identifier)
        while True:
            news = self._notifier.subscribe(identifier)
            try:
                # The state is read first: a job that had ended by then has no events beyond those read next.
                ended = (await self.get(identifier)).state.ended
                events = await asyncio.to_thread(self._store.events, identifier, after)
                for event in events:
                    yield event
                    after = event.id
                if ended and not events:
                    return
                if not events:
                    await first_of(news, self._stopping)
                if self._stopping.is_set():
                    return
            finally:
                self._notifier.forget(identifier, news)


def resolve(spec: TrainingSpec, store: Store) -> tuple[TrainingSpec, Inputs]:
    """Checks a spec against the base model and the datasets that it names, and fills in what depends on them."""
    base = _find(store.base, "base_model", spec.base_model)
    if base.kind != "encoder":
        problem = f"{spec.base_model} is a language model ({base.kind}): it generates, and nothing is trained on it"
        raise InvalidArgument(f"{SPEC}.base_model", problem, reason="NOT_AN_ENCODER")
    dataset = _find(store.dataset, "dataset", spec.dataset)
    judged_by = spec.evaluation_dataset and _find(store.dataset, "evaluation_dataset", spec.evaluation_dataset)
    labels = _labels(spec, dataset, judged_by or None)
    hyper = spec.hyperparameters
    if hyper.max_tokens is not None and hyper.max_tokens > base.max_tokens:
        field = f"{SPEC}.hyperparameters.max_tokens"
        raise InvalidArgument(field, f"{hyper.max_tokens} is over the {base.max_tokens} tokens of {spec.base_model}")
    max_tokens = hyper.max_tokens or min(DEFAULT_MAX_TOKENS, base.max_tokens)
    resolved = spec.model_copy(
        update={
            "hyperparameters": hyper.model_copy(update={"max_tokens": max_tokens}),
            "classification": spec.classification and spec.classification.model_copy(update={"labels": labels}),
            "lora": _lora(spec, base),
        }
    )
    evaluation_digest = judged_by.digest if judged_by else ""
    digests = base.digest, base.tokenizer_digest, dataset.digest, evaluation_digest
    return resolved, Inputs(*digests, base.pooling, base.quantized_digest)


def _find(get: Callable[[str], T], field: str, name: str) -> T:
    try:
        return get(name.partition("/")[2])
    except NotFound as exc:
        raise NotFound(f"{name} does not exist", field=f"{SPEC}.{field}") from exc


def _labels(spec: TrainingSpec, dataset: Dataset, judged_by: Dataset | None) -> tuple[str, ...]:
    given = spec.classification.labels if spec.classification else ()
    labels = given or dataset.labels
    if unknown := sorted(set(dataset.labels) - set(labels)):
        raise InvalidArgument(
            f"{SPEC}.classification.labels", f"{spec.dataset} has the label {unknown[0]!r}, which is not among them"
        )
    if judged_by and (unknown := sorted(set(judged_by.labels) - set(labels))):
        raise InvalidArgument(
            f"{SPEC}.evaluation_dataset",
            f"{spec.evaluation_dataset} has the label {unknown[0]!r}, unknown to the model",
        )
    if not judged_by and (rare := [label for label, count in dataset.label_counts if count < 2]):
        raise InvalidArgument(
            f"{SPEC}.holdout_fraction",
            f"the label {rare[0]!r} of {spec.dataset} has one row: it cannot be held out too",
        )
    return labels


def _lora(spec: TrainingSpec, base: BaseModel) -> Any:
    if spec.lora is None:
        return None
    field = f"{SPEC}.lora.target_modules"
    targets = spec.lora.target_modules or tuple(m for m in DEFAULT_TARGETS if m in base.modules)
    known = ", ".join(base.modules)
    if not targets:
        raise InvalidArgument(field, f"{spec.base_model} has no usual target; name some of: {known}")
    if unknown := [m for m in targets if m not in base.modules]:
        raise InvalidArgument(field, f"{spec.base_model} has no linear layers named {unknown[0]!r}; it has {known}")
    alpha = spec.lora.alpha if spec.lora.alpha is not None else 2.0 * spec.lora.rank
    return spec.lora.model_copy(update={"target_modules": targets, "alpha": alpha})
