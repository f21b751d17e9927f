"""Where in messages names of resources stand, and how they are changed there.

The protos say it of each field (`symbiont.access.v1.holds`); of protos that others have made, the table below does. It
is looked up once for each type of message: a message without names costs nothing, one with names a step for each.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor

from symbiont.common.access.views import INSIDE, NAME, OPEN, TEXT, View
from symbiont.common.errors import InvalidArgument

_OPTION = "symbiont.access.v1.holds"
_FOREIGN = {
    "grpc.health.v1.HealthCheckRequest.service": NAME,
    "inference.ModelReadyRequest.name": OPEN,
    "inference.ModelMetadataRequest.name": OPEN,
    "inference.ModelMetadataResponse.name": OPEN,
    "inference.ModelConfigRequest.name": OPEN,
    "inference.ModelConfig.name": OPEN,
    "inference.ModelInferRequest.model_name": OPEN,
    "inference.ModelInferResponse.model_name": OPEN,
    "inference.ModelStreamInferResponse.error_message": TEXT,
    "inference.ModelStatisticsRequest.name": OPEN,
    "inference.ModelStatistics.name": OPEN,
    "inference.RepositoryIndexResponse.ModelIndex.name": OPEN,
    "inference.RepositoryIndexResponse.ModelIndex.reason": TEXT,
    # KServe's clients name the model in the field that is the repository's to Triton's.
    "inference.RepositoryModelLoadRequest.repository_name": OPEN,
    "inference.RepositoryModelLoadRequest.model_name": OPEN,
    "inference.RepositoryModelUnloadRequest.repository_name": OPEN,
    "inference.RepositoryModelUnloadRequest.model_name": OPEN,
}
M = TypeVar("M")
Change = Callable[[int, str], str]


@dataclass
class Plan:
    """Where names stand in the messages of one type.

    Attributes:
        fields: name of the field, whether it is repeated, and what it holds.
        parts: name of a field with messages, whether it is repeated, and the plan of these.
    """

    fields: list[tuple[str, bool, int]] = field(default_factory=list)
    parts: list[tuple[str, bool, "Plan"]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.fields or self.parts)


_plans: dict[str, Plan] = {}


def entered(view: View, message: M) -> M:
    """Returns a request with the names that its resources have inside, which is the same message.

    Raises:
        InvalidArgument: with the path of the field in which something stands that its caller cannot say.
    """
    if view is not INSIDE and (plan := plan_of(message)):
        _change(message, plan, view.enter)
    return message


def left(view: View, message: M) -> M:
    """Returns a response as its caller names resources; one that must be changed is copied, for others may get it."""
    if view is INSIDE or not (plan := plan_of(message)):
        return message
    own: Any = type(message)()
    own.CopyFrom(message)
    _change(own, plan, view.leave)
    return own  # type: ignore[no-any-return]  # of the same type


def named_in(message: Any) -> list[str]:
    """Returns the names and ids at the top of a message, which say what a call is about."""
    plan = plan_of(message)
    found = [getattr(message, name) for name, repeated, holds in plan.fields if holds != TEXT and not repeated]
    return [value for value in found if value]


def plan_of(message: Any) -> Plan:
    """Returns where names stand in a message."""
    known = _plans.get(message.DESCRIPTOR.full_name)
    return _plan(message.DESCRIPTOR) if known is None else known


def holds_of(descriptor: FieldDescriptor) -> int:
    """Returns what a field holds: NAME, ID, TEXT, OPEN, or 0."""
    file: FileDescriptor = descriptor.containing_type.file
    if file.package.startswith("symbiont.") and (options := descriptor.GetOptions()).ByteSize():
        return int(options.Extensions[file.pool.FindExtensionByName(_OPTION)])
    return _FOREIGN.get(descriptor.full_name, 0)


def _plan(descriptor: Descriptor) -> Plan:
    known = _plans.get(descriptor.full_name)
    if known is None:
        # Before its parts, which may lead back to it.
        known = _plans[descriptor.full_name] = Plan()
        for each in descriptor.fields:
            if holds := holds_of(each):
                known.fields.append((each.name, each.is_repeated, holds))
            elif each.message_type is not None and _leads_to_names(each.message_type, set()):
                known.parts.append((each.name, each.is_repeated, _plan(each.message_type)))
    return known


def _leads_to_names(descriptor: Descriptor, seen: set[str]) -> bool:
    if descriptor.full_name in seen:
        return False
    seen.add(descriptor.full_name)
    parts = (each.message_type for each in descriptor.fields if each.message_type is not None)
    return any(map(holds_of, descriptor.fields)) or any(_leads_to_names(part, seen) for part in parts)


def _change(message: Any, plan: Plan, change: Change) -> None:
    for name, repeated, holds in plan.fields:
        with _under(name):
            if repeated:
                values = getattr(message, name)
                values[:] = [_changed(value, holds, change) for value in values]
            elif value := getattr(message, name):
                setattr(message, name, _changed(value, holds, change))
    for name, repeated, part in plan.parts:
        if repeated:
            for index, each in enumerate(getattr(message, name)):
                with _under(name, index):
                    _change(each, part, change)
        elif message.HasField(name):
            with _under(name):
                _change(getattr(message, name), part, change)


class _under:
    """Puts the place in a message before the field that an error names."""

    __slots__ = ("_index", "_name")

    def __init__(self, name: str, index: int | None = None) -> None:
        self._name = name
        self._index = index

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, InvalidArgument):
            place = self._name if self._index is None else f"{self._name}[{self._index}]"
            problem = str(error).removeprefix(f"{error.field}: ")
            raise InvalidArgument(f"{place}.{error.field}" if error.field else place, problem) from error


def _changed(value: Any, holds: int, change: Change) -> Any:
    return change(holds, value.decode()).encode() if isinstance(value, bytes) else change(holds, value)
