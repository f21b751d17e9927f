"""The Python client of Symbiont: `Client` for plain code, `AsyncClient` for asyncio, with the same methods."""

from symbiont.client.aio import AsyncClient
from symbiont.client.channels import Endpoints, Limits
from symbiont.client.errors import (
    AlreadyExistsError,
    DeadlineExceededError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    RequestError,
    ResourceExhaustedError,
    UnavailableError,
)
from symbiont.client.options import TrainingOptions, training_spec
from symbiont.client.results import ClassProbability, Prediction, Predictions, StageMilliseconds, token_rows
from symbiont.client.sync import Client

__all__ = [
    "AlreadyExistsError",
    "AsyncClient",
    "ClassProbability",
    "Client",
    "DeadlineExceededError",
    "Endpoints",
    "FailedPreconditionError",
    "InvalidArgumentError",
    "Limits",
    "NotFoundError",
    "Prediction",
    "Predictions",
    "RequestError",
    "ResourceExhaustedError",
    "StageMilliseconds",
    "TrainingOptions",
    "UnavailableError",
    "token_rows",
    "training_spec",
]
