"""What must be computed for a call, and how it becomes results."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Generic

import numpy as np
from typing_extensions import TypeVar

from symbiont.bundle import BusinessField
from symbiont.common.errors import IntegrityError, InvalidArgument
from symbiont.engine.row import NO_FEATURES, Floats
from symbiont.inference.instances import FieldValue, Input, Instance, Pair, Query, QuestionContext, Text
from symbiont.inference.results import Result
from symbiont.inference.tokens import Ids, Places, TokenQuery
from symbiont.inference.types import BundleInfo, PredictCall

_NAMES: Mapping[type[Input], str] = {
    Text: "text",
    Pair: "pair",
    QuestionContext: "question_context",
    Query: "query",
}


@dataclass(frozen=True, eq=False)
class Window:
    """A row of a text: what the head gave, [outputs] or [tokens * outputs], and what the row was."""

    values: Floats
    ids: Ids
    places: Places | None


# Share of a window that it has in common with the next one.
OVERLAP = 4
_TEXT = re.compile(r"texts\[(\d+)\]")

# What a text came to: one window, unless it was too long and is read in several.
Windows = Sequence[Window]
# What the texts of an instance are read as.
R_co = TypeVar("R_co", covariant=True, default=Result)


@dataclass(frozen=True)
class Part(Generic[R_co]):
    """One instance: the texts to compute, or pairs of texts, and how what they came to is read.

    Attributes:
        features: its business fields as the bundle that is asked encodes them.
        encode: what another bundle makes of them.
    """

    texts: Sequence[str]
    read: Callable[[Sequence[Windows]], R_co]
    pair_texts: Sequence[str] = ()
    features: Floats = field(default_factory=lambda: NO_FEATURES)
    encode: Callable[[BundleInfo], Floats] = lambda _: NO_FEATURES


@dataclass(frozen=True)
class Plan(Generic[R_co]):
    """A whole call."""

    parts: Sequence[Part[R_co]]
    query: TokenQuery

    @property
    def features(self) -> Sequence[Floats]:
        """Those of each text."""
        return [part.features for part in self.parts for _ in part.texts]

    def features_for(self, bundle: BundleInfo) -> Sequence[Floats]:
        """Returns those of each text as a bundle with fields of the same names and kinds encodes them."""
        return [features for part in self.parts for features in [part.encode(bundle)] * len(part.texts)]

    def blamed(self, error: InvalidArgument) -> InvalidArgument:
        """Returns an error of the tokenization service about `texts[i]` as one about the instance that it is of."""
        return blamed(error, [len(part.texts) for part in self.parts])


def blamed(error: InvalidArgument, texts: Sequence[int]) -> InvalidArgument:
    """Returns an error about `texts[i]` as one about an instance, of which each has so many texts."""
    found = _TEXT.match(error.field or "")
    if not found:
        return error
    index = next(index for index, end in enumerate(accumulate(texts)) if int(found[1]) < end)
    message = str(error).partition(": ")[2]
    return InvalidArgument(f"instances[{index}]", f"its first text: {message}", reason=error.reason)


def stride_of(bundle: BundleInfo) -> int | None:
    """Returns the tokens that windows of a long text have in common; None where it is cut."""
    return bundle.max_tokens // OVERLAP if bundle.windows else None


def join(parts: Sequence[Part], *, stride: int | None = None, places: bool = False) -> Plan:
    """Makes a call of its instances; see TokenQuery for the rest."""
    texts = [text for part in parts for text in part.texts]
    seconds = [text for part in parts for text in part.pair_texts]
    return Plan(parts, TokenQuery(texts, seconds, stride, places))


def wrong_input(field: str, given: Input, bundle: BundleInfo, *takes: type[Input]) -> InvalidArgument:
    """Returns the error of an input that a task does not take."""
    allowed = " or ".join(_NAMES[kind] for kind in takes)
    problem = f"the model's task is {bundle.head.kind}, which takes {allowed}; this is {_NAMES[type(given)]}"
    return InvalidArgument(field, problem, reason="INPUT_KIND")


def no_threshold(call: PredictCall) -> None:
    """Refuses a threshold, for tasks that have no use for one."""
    if call.threshold is not None:
        raise InvalidArgument("threshold", "the model's task gives nothing that it could choose", reason="THRESHOLD")


def probability_threshold(call: PredictCall, default: float) -> float:
    """Returns from which probability something is given."""
    if call.threshold is None:
        return default
    if not 0 <= call.threshold <= 1:
        raise InvalidArgument("threshold", f"{call.threshold} is not a probability, 0 to 1", reason="THRESHOLD")
    return call.threshold


def no_fields(field: str, instance: Instance) -> None:
    """Refuses business fields, for tasks that take none."""
    if instance.fields:
        raise InvalidArgument(f"{field}.fields", "the model takes no business fields", reason="FIELDS")


def encode_fields(field: str, instance: Instance, bundle: BundleInfo) -> Floats:
    """Returns what the head gets for an instance's business fields.

    Raises:
        InvalidArgument: there is no such field, it is given twice, or its value is of another kind.
    """
    if not bundle.fields and not instance.fields:
        return NO_FEATURES
    given = _by_name(field, instance, bundle)
    encoded: list[float] = []
    for spec in bundle.fields:
        place, value = given.get(spec.name, (field, None))
        match spec.kind, value:
            case _, None:
                encoded += spec.encode(None)
            case ("number", float()) if np.isfinite(value) and abs(value) < _LARGEST:
                encoded += spec.encode(value)  # type: ignore[arg-type]  # the kinds match
            case ("category", str()) | ("flag", bool()):
                encoded += spec.encode(value)  # type: ignore[arg-type]  # the kinds match
            case ("date", str()):
                encoded += _date(place, spec, value)
            case _:
                raise InvalidArgument(place, f"{spec.name} is a {spec.kind}; this is not one", reason="FIELDS")
    return np.array(encoded, np.float32)


def _date(place: str, spec: BusinessField, value: FieldValue) -> Sequence[float]:
    # An empty one is a missing one, as in a table.
    try:
        return spec.encode(value or None)  # type: ignore[arg-type]  # the kinds match
    except ValueError as exc:
        problem = f"{spec.name} is a date, as 2026-01-31 or 2026-01-31T12:00:00; this is not one"
        raise InvalidArgument(place, problem, reason="FIELDS") from exc


# Squared, it is still a number of fp32: nothing overflows in the head.
_LARGEST = 1e18


def _by_name(field: str, instance: Instance, bundle: BundleInfo) -> dict[str, tuple[str, FieldValue]]:
    known = {spec.name for spec in bundle.fields}
    given: dict[str, tuple[str, FieldValue]] = {}
    for index, (name, value) in enumerate(instance.fields):
        place = f"{field}.fields[{index}]"
        if name not in known:
            there = ", ".join(sorted(known)) or "none"
            raise InvalidArgument(
                f"{place}.name", f"the model has no field {name[:63]!r}; it has {there}", reason="FIELDS"
            )
        if name in given:
            raise InvalidArgument(f"{place}.name", f"{name} is given twice", reason="FIELDS")
        if value is None:
            raise InvalidArgument(f"{place}.value", "it has none; leave the field out", reason="FIELDS")
        given[name] = (f"{place}.value", value)
    return given


def whole(windows: Windows, outputs: int) -> Floats:
    """Returns the values of a text, [outputs]: the mean over its windows, where it is read in several.

    Raises:
        IntegrityError: the head did not give so many, or not finite ones.
    """
    for window in windows:
        if window.values.shape != (outputs,) or not np.isfinite(window.values).all():
            problem = f"the bundle gave {window.values.size} values where {outputs} are due, or not finite ones"
            raise IntegrityError(problem)
    return mean_of(windows)


def mean_of(windows: Windows) -> Floats:
    """Returns the mean of what a head gave for the windows of a text."""
    if len(windows) == 1:
        return windows[0].values
    mean: Floats = np.mean([window.values for window in windows], axis=0, dtype=np.float32)
    return mean


def by_token(window: Window, outputs: int) -> Floats:
    """Returns the values of a row, [tokens, outputs]; raises as `whole`."""
    if window.values.size != outputs * len(window.ids) or not np.isfinite(window.values).all():
        due = f"{outputs} for each of {len(window.ids)} tokens"
        raise IntegrityError(f"the bundle gave {window.values.size} values where {due} are due, or not finite ones")
    return window.values.reshape(-1, outputs)
