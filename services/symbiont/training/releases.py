"""Releases as callers see them: begun, changed and ended within their limits, and inference told of it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import InvalidArgument
from symbiont.common.resources import check_id, check_owned_id, parse_version_name
from symbiont.training.models import check_bundle
from symbiont.training.notifier import Notifier
from symbiont.training.store import Store
from symbiont.training.types import NewRelease, Release, ReleaseRules, ReleaseState

T = TypeVar("T")
MIN_SAMPLES = range(10, 1_000_001)
LONGEST_REASON = 1000


@dataclass(frozen=True)
class ReleaseName:
    """`models/{model}/aliases/{alias}/releases/{release}`; `id` is empty in the name of an alias."""

    model: str
    alias: str
    id: str = ""


def parse_alias_name(field: str, name: str, *, wildcard: bool = False) -> ReleaseName:
    """Reads `models/{model}/aliases/{alias}`; with `wildcard` an alias `-` reads as the empty one."""
    match name.split("/"):
        case ["models", model, "aliases", "-"] if wildcard:
            return ReleaseName(check_owned_id(field, model), "")
        case ["models", model, "aliases", alias]:
            return ReleaseName(check_owned_id(field, model), check_id(field, alias))
    raise InvalidArgument(field, f"{name[:200]!r} is not of the form models/{{model}}/aliases/{{alias}}")


def parse_release_name(field: str, name: str) -> ReleaseName:
    """Reads `models/{model}/aliases/{alias}/releases/{release}`."""
    match name.split("/"):
        case ["models", model, "aliases", alias, "releases", identifier]:
            return ReleaseName(check_owned_id(field, model), check_id(field, alias), check_id(field, identifier))
    form = "models/{model}/aliases/{alias}/releases/{release}"
    raise InvalidArgument(field, f"{name[:200]!r} is not of the form {form}")


def parse_own_version(field: str, name: str, model: str) -> int:
    """The number of a version that must be one of `model`."""
    of, number = parse_version_name(field, name)
    if of != model:
        raise InvalidArgument(field, f"{name} is a version of another model than models/{model}")
    return number


class Releases:
    """The releases of the registry."""

    def __init__(self, store: Store, artifacts: ArtifactStore, notifier: Notifier) -> None:
        self._store = store
        self._artifacts = artifacts
        self._notifier = notifier

    async def create(self, alias: ReleaseName, new: NewRelease) -> Release:
        """Begins a release with a candidate whose bundle is whole.

        Raises:
            InvalidArgument: a value is out of its range, or the candidate is a version of another model.
            NotFound: no such alias or version.
            FailedPrecondition: the alias has a release or points at the candidate, or the bundle is damaged.
        """
        model, number = new.candidate
        if model != alias.model:
            raise InvalidArgument(
                "release.candidate", f"it is a version of models/{model}, not of models/{alias.model}"
            )
        _check(new.weight, new.shadow, new.rules)

        def begin() -> Release:
            check_bundle(self._artifacts, self._store.version(model, number))
            return self._store.add_release(model, alias.alias, number, new.weight, new.shadow, new.rules)

        return await self._changed(begin)

    async def update(self, name: ReleaseName, weight: int | None, shadow: bool | None) -> Release:
        """Changes what is not None.

        Raises:
            InvalidArgument: a value is out of its range, or a shadow is asked to keep a rule on latency.
            FailedPrecondition: the release has ended.
        """
        values = {key: value for key, value in {"weight": weight, "shadow": shadow}.items() if value is not None}

        def change() -> Release:
            old = self._store.release(name.model, name.alias, name.id)
            _check(old.weight if weight is None else weight, old.shadow if shadow is None else shadow, old.rules)
            return self._store.change_release(name.model, name.alias, name.id, **values)

        return await self._changed(change)

    async def promote(self, name: ReleaseName, principal: str = "") -> Release:
        """Points the alias at the candidate, whose bundle is whole.

        Raises:
            FailedPrecondition: the release has ended otherwise, the bundle is damaged, or the alias has a gate that the
                candidate has not passed.
        """

        def change() -> Release:
            release = self._store.release(name.model, name.alias, name.id)
            if release.state is ReleaseState.ACTIVE:
                check_bundle(self._artifacts, release.candidate)
            return self._store.promote_release(name.model, name.alias, name.id, principal)

        return await self._changed(change)

    async def end(self, name: ReleaseName, reason: str, rule_broken: bool) -> Release:
        """Ends a release, or returns it as it ended before."""
        if len(reason) > LONGEST_REASON:
            raise InvalidArgument("reason", f"it has {len(reason)} characters, at most {LONGEST_REASON} are kept")
        state = ReleaseState.ROLLED_BACK if rule_broken else ReleaseState.ENDED
        return await self._changed(lambda: self._store.end_release(name.model, name.alias, name.id, state, reason))

    async def _changed(self, change: Callable[[], T]) -> T:
        changed = await asyncio.to_thread(change)
        self._notifier.notify(Notifier.ALIASES)
        return changed


def _check(weight: int, shadow: bool, rules: ReleaseRules) -> None:
    _check_within("release.weight", weight, 0, 100)
    error_rate, ratio, shift = rules.max_error_rate_increase, rules.max_p99_latency_ratio, rules.max_label_shift
    _check_within("release.rules.max_error_rate_increase", error_rate, 0, 1)
    _check_within("release.rules.max_label_shift", shift, 0, 1)
    if ratio is not None and not 1 < ratio < float("inf"):
        raise InvalidArgument("release.rules.max_p99_latency_ratio", f"{ratio:g} is not a finite number over 1")
    if ratio is not None and shadow:
        problem = "a shadow answers in the same batch as the alias's version: its time cannot be told apart"
        raise InvalidArgument("release.rules.max_p99_latency_ratio", problem)
    if rules.min_samples not in MIN_SAMPLES:
        problem = f"{rules.min_samples} is not from {MIN_SAMPLES[0]} to {MIN_SAMPLES[-1]}"
        raise InvalidArgument("release.rules.min_samples", problem)


def _check_within(field: str, value: float | None, low: float, high: float) -> None:
    # Written so that NaN fails too.
    if value is not None and not low <= value <= high:
        raise InvalidArgument(field, f"{value:g} is not from {low:g} to {high:g}")
