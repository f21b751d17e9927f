"""What every alias points at, as far as this process has heard, and which of it has proven that it can serve."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from symbiont.inference.types import Alias, AliasUpdate, ModelVersion, Release


class RoutingTable:
    """(model, alias) -> version. It outlives the connection that feeds it.

    What an alias is pointed at serves once it has proven itself; until then the version before does. Where there is
    none, because the alias or this process is new, it serves at once: a late answer is better than none.
    """

    def __init__(self) -> None:
        self._wanted: dict[tuple[str, str], Alias] = {}
        self._serving: dict[tuple[str, str], Alias] = {}
        self._proven: set[ModelVersion] = set()
        self._listeners: list[Callable[[], None]] = []

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Has `listener` called after each change."""
        self._listeners.append(listener)

    def apply(self, update: AliasUpdate) -> None:
        """Takes an update in. A complete one also removes the aliases that it does not name."""
        fresh = {(alias.model, alias.alias): alias for alias in update.aliases}
        self._wanted = fresh if update.complete else {**self._wanted, **fresh}
        self._settle()

    def prove(self, version: ModelVersion) -> None:
        """Takes note that a version answers: whatever waits for it flips to it."""
        self._proven.add(version)
        self._settle()

    def doubt(self, version: ModelVersion) -> None:
        """Takes note that a version may not answer any more: it must prove itself again. What it serves, it keeps."""
        if version in self._proven:
            self._proven.discard(version)
            self._settle()

    def find(self, model: str, alias: str) -> ModelVersion | None:
        """Returns what serves under an alias, if it is known."""
        found = self._serving.get((model, alias))
        return found.version if found else None

    def release(self, model: str, alias: str) -> Release | None:
        """Returns the release that runs on an alias, once its candidate has proven itself."""
        found = self._serving.get((model, alias))
        release = found.release if found else None
        return release if release and release.candidate in self._proven else None

    def aliases(self) -> Iterable[Alias]:
        """Returns all aliases known, each with the version that serves."""
        return self._serving.values()

    def releases(self) -> Sequence[Release]:
        """Returns the releases that run."""
        return [alias.release for alias in self._wanted.values() if alias.release]

    def is_proven(self, version: ModelVersion) -> bool:
        """Whether a version has proven that it can serve."""
        return version in self._proven

    def unproven(self) -> set[ModelVersion]:
        """Returns what serves, or is to serve under an alias or a release, and has not proven itself."""
        return self._needed() - self._proven

    def lacks_proof(self, version: ModelVersion) -> bool:
        """Whether a version's bundle must prove itself and has not; one that no alias or release needs must not."""
        digest = version.bundle_digest
        return version not in self._proven and any(other.bundle_digest == digest for other in self.unproven())

    def bases(self) -> set[str]:
        """Returns the digests of all bases that are needed."""
        return {version.base_digest for version in self._needed()}

    def _needed(self) -> set[ModelVersion]:
        named = (alias.version for alias in (*self._wanted.values(), *self._serving.values()))
        return {*named, *(release.candidate for release in self.releases())}

    def _settle(self) -> None:
        # One assignment: a call sees the table before or after, never between.
        self._serving = {key: self._served(alias, self._serving.get(key)) for key, alias in self._wanted.items()}
        self._proven &= self._needed()
        for listener in self._listeners:
            listener()

    def _served(self, wanted: Alias, before: Alias | None) -> Alias:
        if before is None or wanted.version in self._proven:
            return wanted
        return replace(wanted, version=before.version)
