"""The space of a search: which settings of a spec may vary, and between what."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from symbiont.advisor.trials import ALL_METHODS, word
from symbiont.api.training.v1.training_job_pb2 import Hyperparameters, TrainingSpec

Value = int | float | str | bool
METHOD = "method"
_RANGE = re.compile(r"(?P<low>[^:]+?)\.\.(?P<high>[^:]+?)(?::(?P<how>.+))?")
_TYPES: Mapping[int, type[int] | type[float] | type[bool]] = {
    FieldDescriptor.TYPE_DOUBLE: float,
    FieldDescriptor.TYPE_INT32: int,
    FieldDescriptor.TYPE_UINT32: int,
    FieldDescriptor.TYPE_BOOL: bool,
}
# What decides how trials are compared, and not how they learn.
_FIXED = {"selection_metric", "checkpoint_interval", "evaluate_checkpoints", "keep_best", "patience"}


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included; all, those of a log scale, or those a step apart."""

    name: str
    low: float
    high: float
    whole: bool
    log: bool = False
    step: float | None = None

    @property
    def ends(self) -> tuple[Value, ...]:
        """What shows whether the whole range is allowed."""
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)


@dataclass(frozen=True)
class Choices:
    """One of several values."""

    name: str
    values: tuple[Value, ...]

    @property
    def ends(self) -> tuple[Value, ...]:
        """All of them."""
        return self.values


Dimension = Range | Choices


class SpaceError(ValueError):
    """A setting cannot be searched as it was asked; the message names it and says what to write."""

    def __init__(self, text: str, problem: str) -> None:
        super().__init__(f"--search {text}: {problem}")


def parse_space(texts: Sequence[str], spec: TrainingSpec) -> list[Dimension]:
    """Returns the dimensions that texts as `learning_rate=1e-5..1e-3:log` and `rank=4,8,16` describe.

    Raises:
        SpaceError: names the first that is wrong.
    """
    if not texts:
        raise SpaceError("", "say what may vary, as learning_rate=1e-5..1e-3:log or rank=4,8,16")
    space: list[Dimension] = []
    # The methods decide which settings there are.
    for text in sorted(texts, key=lambda one: not one.startswith(f"{METHOD}=")):
        name, equals, values = text.partition("=")
        name = name.strip().replace("-", "_")
        if not (equals and values.strip()):
            raise SpaceError(text, f"write {name or 'NAME'}=LOW..HIGH, {name or 'NAME'}=LOW..HIGH:log or a,b,c")
        if any(one.name == name for one in space):
            raise SpaceError(text, f"{name} is given twice")
        space.append(_dimension(text, name, values.strip(), known(spec, space)))
    return space


def known(spec: TrainingSpec, space: Sequence[Dimension] = ()) -> dict[str, type]:
    """Returns the settings that may vary, with their types, for the methods of a space or that of the spec."""
    found: dict[str, type] = {METHOD: str}
    for message in _messages(spec, methods_in(spec, space)):
        for field in message.fields:
            if field.type in _TYPES and not field.is_repeated and field.name not in _FIXED:
                found[field.name] = _TYPES[field.type]
    return found


def methods_in(spec: TrainingSpec, space: Sequence[Dimension]) -> list[str]:
    """Returns the methods that trials may have."""
    searched = [str(value).replace("-", "_") for one in space if one.name == METHOD for value in one.ends]
    return searched or [spec.WhichOneof("method") or "lora"]


def takes(spec: TrainingSpec, method: str, name: str) -> bool:
    """Whether a trial of this method has a setting."""
    return any(name in message.fields_by_name for message in _messages(spec, [method]))


def applied(spec: TrainingSpec, values: Mapping[str, Value]) -> TrainingSpec:
    """Returns a spec with these settings; the method comes first, for it has some of them."""
    made = TrainingSpec()
    made.CopyFrom(spec)
    method = str(values.get(METHOD, made.WhichOneof("method") or "lora")).replace("-", "_")
    if made.WhichOneof("method") != method:
        getattr(made, method).SetInParent()
    parts = [made.hyperparameters, getattr(made, method), *_head(made)]
    for name, value in values.items():
        if name != METHOD:
            part = next(part for part in parts if name in part.DESCRIPTOR.fields_by_name)
            setattr(part, name, value)
    return made


def corners(spec: TrainingSpec, space: Sequence[Dimension]) -> Iterator[TrainingSpec]:
    """Yields specs with every end of every dimension.

    When all are allowed, so is what lies between, but for settings that bound each other.
    """
    for method in methods_in(spec, space):
        dimensions = [one for one in space if one.name != METHOD and takes(spec, method, one.name)]
        for place in range(max((len(one.ends) for one in dimensions), default=1)):
            values = {one.name: one.ends[min(place, len(one.ends) - 1)] for one in dimensions}
            yield applied(spec, {METHOD: word(method), **values})


def _messages(spec: TrainingSpec, methods: Sequence[str]) -> list[Any]:
    parts = TrainingSpec.DESCRIPTOR.fields_by_name
    own = [parts[name].message_type for name in methods]
    return [Hyperparameters.DESCRIPTOR, *own, *(part.DESCRIPTOR for part in _head(spec))]


def _head(spec: TrainingSpec) -> list[Any]:
    name = spec.WhichOneof("head")
    return [getattr(spec, name)] if name else []


def _dimension(text: str, name: str, values: str, types: Mapping[str, type]) -> Dimension:
    if name not in types:
        raise SpaceError(text, f"there is no such setting here; there are {', '.join(sorted(types))}")
    if found := _RANGE.fullmatch(values):
        return _range(text, name, types[name], found["low"], found["high"], found["how"] or "")
    parsed = tuple(_value(text, types[name], one.strip()) for one in values.split(","))
    if name == METHOD and (unknown := [one for one in parsed if str(one).replace("-", "_") not in ALL_METHODS]):
        raise SpaceError(text, f"there is no method {unknown[0]!r}: {', '.join(map(word, ALL_METHODS))}")
    if len(set(parsed)) < max(len(parsed), 2):
        raise SpaceError(text, "give at least two values, each once; what does not vary is an option of its own")
    return Choices(name, parsed)


def _range(text: str, name: str, type_: type, low: str, high: str, how: str) -> Range:
    if type_ not in (int, float):
        raise SpaceError(text, "it has no order: list its values, as a,b,c")
    first, last = (float(_value(text, type_, one.strip())) for one in (low, high))
    if first >= last:
        raise SpaceError(text, f"{last:g} is not above {first:g}: write the lower end first")
    if how == "log" and first <= 0:
        raise SpaceError(text, f"a log scale begins above 0, not at {first:g}")
    step = None if how in ("", "log") else float(_value(text, type_, how))
    if step is not None and not 0 < step <= last - first:
        raise SpaceError(text, f"a step is above 0 and at most {last - first:g}, not {step:g}")
    if step is not None and abs((last - first) / step - round((last - first) / step)) > 1e-9:
        raise SpaceError(text, f"steps of {step:g} from {first:g} do not come to {last:g}")
    return Range(name, first, last, type_ is int, how == "log", step)


def _value(text: str, type_: type, word: str) -> Value:
    if type_ is str:
        return word
    if type_ is bool:
        if word not in ("true", "false"):
            raise SpaceError(text, f"{word!r} is neither true nor false")
        return word == "true"
    try:
        number: int | float = type_(word)
    except ValueError:
        kind = "whole number" if type_ is int else "number"
        raise SpaceError(text, f"{word!r} is no {kind}; a range is LOW..HIGH, with :log or :STEP behind it") from None
    if number != number or abs(number) == float("inf"):
        raise SpaceError(text, f"{word!r} is not finite")
    return number
