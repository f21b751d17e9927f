"""What every alias points at, as far as this process has heard."""

from collections.abc import Callable, Iterable

from symbiont.inference.types import Alias, AliasUpdate, ModelVersion


class RoutingTable:
    """(model, alias) -> version. It outlives the connection that feeds it."""

    def __init__(self) -> None:
        self._aliases: dict[tuple[str, str], Alias] = {}
        self._listeners: list[Callable[[], None]] = []

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Has `listener` called after each change."""
        self._listeners.append(listener)

    def apply(self, update: AliasUpdate) -> None:
        """Takes an update in. A complete one also removes the aliases that it does not name."""
        fresh = {(alias.model, alias.alias): alias for alias in update.aliases}
        # One assignment: a call sees the table before or after, never between.
        self._aliases = fresh if update.complete else {**self._aliases, **fresh}
        for listener in self._listeners:
            listener()

    def find(self, model: str, alias: str) -> ModelVersion | None:
        """Returns what an alias points at, if it is known."""
        found = self._aliases.get((model, alias))
        return found.version if found else None

    def aliases(self) -> Iterable[Alias]:
        """Returns all aliases known."""
        return self._aliases.values()
