"""The Python backend model that Triton runs: unpacks requests, hands them to the engine, sends the answers.

Every answer goes through a response sender, so that a request whose bundle must first be loaded is answered later while
the ones beside it are answered at once.
"""

import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

# Exists only inside Triton's own Python process.
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import InvalidArgument, NotFound, ResourceExhausted, SymbiontError, Unavailable
from symbiont.engine import wire
from symbiont.engine.answering import Answer, Answering, Job
from symbiont.engine.engine import Engine
from symbiont.engine.loading import load_runtime
from symbiont.engine.metrics import HostMetrics, Kind
from symbiont.engine.row import Row, Times
from symbiont.engine.settings import HostSettings

# By name: Triton fills in the error class only after it has imported this module.
_CODES: dict[type[SymbiontError], str] = {
    InvalidArgument: "INVALID_ARG",
    NotFound: "NOT_FOUND",
    ResourceExhausted: "UNAVAILABLE",
    Unavailable: "UNAVAILABLE",
}


class TritonPythonModel:
    """One host. Triton makes it, calls `initialize`, then `execute` from one thread, and `finalize` at the end."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the base; an exception here makes Triton report that the model cannot be loaded."""
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
        try:
            self._answering, self._metrics = _open(json.loads(args["model_config"])["parameters"])
        except SymbiontError as exc:
            raise pb_utils.TritonModelException(wire.encode_error(exc)) from exc

    def execute(self, requests: Sequence[Any]) -> None:
        """Takes requests, as a rule one; the answers go through their response senders."""
        jobs: list[Job] = []
        for request in requests:
            reply = _replier(request.get_response_sender())
            try:
                jobs.append(Job(_rows(request), reply, _spare(request)))
            except InvalidArgument as exc:
                reply(exc, wire.NO_TIMES)
        self._answering.submit(jobs)

    def finalize(self) -> None:
        """Answers what still waits for a bundle."""
        self._answering.close()
        self._metrics.close()


def _open(parameters: dict[str, dict[str, str]]) -> tuple[Answering, HostMetrics]:
    settings = HostSettings.from_parameters({name: value["string_value"] for name, value in parameters.items()})
    store = ArtifactStore(settings.artifact_root, trust=settings.trust())
    engine = Engine(load_runtime(settings, store), store, max_slots=settings.max_slots)
    metrics = HostMetrics(_metric, settings.base_digest, engine.figures)
    return Answering(engine, metrics.update), metrics


def _metric(name: str, kind: Kind, description: str, labels: dict[str, str]) -> Any:
    kinds = {"gauge": pb_utils.MetricFamily.GAUGE, "counter": pb_utils.MetricFamily.COUNTER}
    family = pb_utils.MetricFamily(name=name, description=description, kind=kinds[kind])
    return _Metric(family, family.Metric(labels=labels))


class _Metric:
    """A metric with its family, without which it would go."""

    def __init__(self, family: Any, metric: Any) -> None:
        self._family = family
        self.set, self.increment = metric.set, metric.increment


def _rows(request: Any) -> list[Row]:
    return wire.unpack_rows({tensor.name(): tensor.as_numpy() for tensor in request.inputs()})


def _spare(request: Any) -> int:
    return int(json.loads(request.parameters() or "{}").get(wire.SPARE, 0))


def _replier(sender: Any) -> Callable[[Answer, Times], None]:
    def reply(answer: Answer, times: Times) -> None:
        sender.send(_response(answer, times), flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    return reply


def _response(answer: Answer, times: Times) -> Any:
    if isinstance(answer, SymbiontError):
        code = getattr(pb_utils.TritonError, _CODES.get(type(answer), "INTERNAL"))
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(wire.encode_error(answer), code))
    tensors = wire.pack_answers(answer, times).items()
    return pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor(name, value) for name, value in tensors])
