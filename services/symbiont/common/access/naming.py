"""Where in messages names of resources stand, and how they are changed there.

The protos say it of each field (`symbiont.access.v1.holds`); of protos that others have made, the table below does. It
is looked up once for each type of message: a message without names costs nothing, one with names a step for each.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.message import Message

from symbiont.common.access.views import INSIDE, NAME, OPEN, TEXT, View
from symbiont.common.errors import InvalidArgument, SymbiontError

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


def asked_in(view: View, request: Any) -> list[str]:
    """Returns what `named_in` does of a request that was refused, as it is inside; a stream is not read for it."""
    if not isinstance(request, Message):
        return []
    with suppress(SymbiontError):
        # Where its caller cannot say such a name, it stands as it was said.
        entered(view, request)
    return named_in(request)


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
    name, index = "", -1
    try:
        for name, repeated, holds in plan.fields:
            value = getattr(message, name)
            if repeated:
                value[:] = [_changed(each, holds, change) for each in value]
            elif value:
                setattr(message, name, _changed(value, holds, change))
        for name, repeated, part in plan.parts:
            if repeated:
                for index, each in enumerate(getattr(message, name)):  # noqa: B007 - as above
                    _change(each, part, change)
                index = -1
            elif message.HasField(name):
                _change(getattr(message, name), part, change)
    except InvalidArgument as exc:
        raise _placed(exc, name if index < 0 else f"{name}[{index}]") from exc


def _placed(error: InvalidArgument, place: str) -> InvalidArgument:
    """Returns an error with a place in a message before the field that it names."""
    problem = str(error).removeprefix(f"{error.field}: ")
    return InvalidArgument(f"{place}.{error.field}" if error.field else place, problem)


def _changed(value: Any, holds: int, change: Change) -> Any:
    return change(holds, value.decode()).encode() if isinstance(value, bytes) else change(holds, value)
