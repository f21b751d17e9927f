"""MLflow: a run for each job, found again by a tag.

A call that comes again because it was not known to have arrived changes nothing: MLflow keeps one of what has the same
name, step, time and value. A tag says up to which event a run goes.
"""

import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from symbiont.training.tracking import Run, register
from symbiont.training.tracking.reading import numbers_of, parameters_of, words_of
from symbiont.training.types import Event, Job, JobState, now

JOB, EVENT = "symbiont.job", "symbiont.event"
STATUS = {JobState.SUCCEEDED: "FINISHED", JobState.CANCELLED: "KILLED", JobState.FAILED: "FAILED"}
# Within what MLflow takes in one call, and in one value.
METRICS, PARAMETERS, CHARACTERS = 900, 100, 5000
# Unless they are set otherwise: the service itself tries a server again that is away, and nothing is told to others.
DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


class MLflow:
    """Runs of one experiment, on a server or in a database (`sqlite:///file`)."""

    def __init__(self, uri: str, experiment: str) -> None:
        self._uri = uri
        self._experiment = experiment
        self._client: Any = None

    def begin(self, job: Job, after: int) -> Run:
        """Begins the run of a job, or goes on with it after the event that its tag names."""
        self._client = self._client or self._connect()
        experiment = self._experiment_id()
        found = self._client.search_runs([experiment], f"tags.`{JOB}` = '{job.id}'", max_results=1)
        if not found:
            return MLflowRun(self._client, self._create(experiment, job), 0, job)
        run = found[0]
        self._client.update_run(run.info.run_id, status="RUNNING")
        return MLflowRun(self._client, run.info.run_id, int(run.data.tags.get(EVENT, 0)), job)

    def _connect(self) -> Any:
        for name, value in DEFAULTS.items():
            os.environ.setdefault(name, value)
        from mlflow.tracking import MlflowClient

        return MlflowClient(tracking_uri=self._uri)

    def _experiment_id(self) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(self._experiment)
        if found is None:
            try:
                return str(self._client.create_experiment(self._experiment))
            except MlflowException:
                # Another controller may have made it in the meantime.
                found = self._client.get_experiment_by_name(self._experiment)
                if found is None:
                    raise
        return str(found.experiment_id)

    def _create(self, experiment: str, job: Job) -> str:
        model = job.spec.output.partition("/")[2]
        tags, start = {JOB: job.id, "symbiont.model": model}, _milliseconds(job.create_time)
        made = self._client.create_run(experiment, start_time=start, tags=tags, run_name=f"{model} {job.id}")
        return str(made.info.run_id)

    def close(self) -> None:
        """There is nothing to end."""


class MLflowRun:
    """One run; a page of events is sent at once."""

    def __init__(self, client: Any, identifier: str, position: int, job: Job) -> None:
        self._client = client
        self._id = identifier
        self._position = position
        self._metrics: list[Any] = []
        self._tags: dict[str, str] = {}
        if not position:
            self._introduce(job)

    @property
    def position(self) -> int:
        """The last event that was recorded."""
        return self._position

    def _introduce(self, job: Job) -> None:
        from mlflow.entities import Param

        found = [Param(name, str(value)[:CHARACTERS]) for name, value in parameters_of(job).items()]
        for part in _parts(found, PARAMETERS):
            self._client.log_batch(self._id, params=part)

    def record(self, event: Event, step: int) -> None:
        """Keeps what an event says until the page is complete."""
        from mlflow.entities import Metric

        time = _milliseconds(event.time)
        self._metrics += [Metric(name, value, time, step) for name, value in numbers_of(event.body).items()]
        if words := words_of(event.body):
            kind, text = words
            name = "state" if kind == "state" else f"warning.{text.partition(':')[0]}"
            self._tags[f"symbiont.{name}"] = text[:CHARACTERS]
        self._position = event.id

    def flush(self) -> None:
        """Sends the page; the tag goes last, when everything before it is there."""
        from mlflow.entities import RunTag

        for part in _parts(self._metrics, METRICS):
            self._client.log_batch(self._id, metrics=part)
        tags = {**self._tags, EVENT: str(self._position)}
        self._client.log_batch(self._id, tags=[RunTag(name, text) for name, text in tags.items()])
        self._metrics.clear()
        self._tags.clear()

    def end(self, job: Job) -> None:
        """Says how it went."""
        if job.model_version:
            self._client.set_tag(self._id, "symbiont.model_version", job.model_version)
        if job.derived_base:
            self._client.set_tag(self._id, "symbiont.derived_base", job.derived_base)
        self._client.set_terminated(self._id, STATUS[job.state], _milliseconds(job.end_time or now()))

    def close(self) -> None:
        """The run stays as it is."""


def _milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def _parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


register(
    "mlflow",
    lambda options: MLflow(options.mlflow_tracking_uri, options.mlflow_experiment),
    package="mlflow",
    extra="mlflow",
)
