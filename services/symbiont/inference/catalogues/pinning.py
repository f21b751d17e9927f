"""Finds the bundle that a catalogue is pinned to."""

from typing import Protocol

from symbiont.common.errors import InvalidArgument
from symbiont.inference.catalogues.types import Pin
from symbiont.inference.deadline import Deadline
from symbiont.inference.reference import ModelReference, parse_reference
from symbiont.inference.types import Served


class Finds(Protocol):
    """Knows what a reference means now: the predictor."""

    async def find(self, reference: ModelReference, deadline: Deadline, seconds: dict[str, float]) -> Served:
        """Returns the version and its bundle."""
        ...


class Pinning:
    """From a model to what embeds."""

    def __init__(self, finder: Finds) -> None:
        self._finder = finder

    async def pin(self, field: str, model: str, deadline: Deadline) -> Pin:
        """Returns the bundle that a model means now.

        Raises:
            InvalidArgument: its task is not embedding.
            NotFound, FailedPrecondition, IntegrityError, Unavailable: see Predictor.find.
        """
        served = await self._finder.find(parse_reference(field, model), deadline, {})
        head = served.bundle.head
        if head.kind != "embedding":
            raise InvalidArgument(field, f"its task is {head.kind}; a catalogue needs one of embedding", reason="TASK")
        return Pin(model, served.version, head.outputs)
