"""Models as callers see them: versions, aliases, and who is told when an alias moves."""

import asyncio
from collections.abc import AsyncIterator

from symbiont.bundle import read_manifest
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import FailedPrecondition, IntegrityError, NotFound
from symbiont.common.resources import check_id
from symbiont.training.notifier import Notifier, first_of
from symbiont.training.store import Store
from symbiont.training.types import Alias, Model, ModelVersion

PRODUCTION = "production"


class Models:
    """The models of the registry."""

    def __init__(self, store: Store, artifacts: ArtifactStore, notifier: Notifier, stopping: asyncio.Event) -> None:
        self._store = store
        self._artifacts = artifacts
        self._notifier = notifier
        self._stopping = stopping

    async def promote(self, model: str, number: int, alias: str, principal: str = "") -> Model:
        """Points an alias at a version whose bundle is whole.

        Raises:
            NotFound: no such version.
            FailedPrecondition: the bundle is missing or damaged, or the alias has a gate that the version has not
                passed; the alias stays where it was.
        """
        alias = check_id("alias", alias or PRODUCTION)

        def change() -> Model:
            check_bundle(self._artifacts, self._store.version(model, number))
            self._store.set_alias(model, alias, number, principal)
            return self._store.model(model)

        changed = await asyncio.to_thread(change)
        self._notifier.notify(Notifier.ALIASES)
        return changed

    async def rollback(self, model: str, alias: str, number: int, principal: str = "") -> Alias:
        """Points an alias that points at version `number` back at the version before, whose bundle is whole.

        Raises:
            NotFound: no such alias.
            FailedPrecondition: there is no version before, its bundle is missing or damaged, or the alias points
                elsewhere by now.
        """

        def change() -> Alias:
            before = self._store.alias(model, alias)
            if before.version.number == number and before.previous:
                check_bundle(self._artifacts, self._store.version(model, before.previous))
            return self._store.rollback_alias(model, alias, number, principal)

        changed = await asyncio.to_thread(change)
        self._notifier.notify(Notifier.ALIASES)
        return changed

    async def watch_aliases(self) -> AsyncIterator[list[Alias]]:
        """Yields all aliases, then those that changed, as they change, until the service stops."""
        revision, first = 0, True
        while not self._stopping.is_set():
            news = self._notifier.subscribe(Notifier.ALIASES)
            try:
                aliases = await asyncio.to_thread(self._store.aliases_after, revision)
                if aliases or first:
                    yield aliases
                    first = False
                    revision = max([revision, *(a.revision for a in aliases)])
                else:
                    await first_of(news, self._stopping)
            finally:
                self._notifier.forget(Notifier.ALIASES, news)


def check_bundle(artifacts: ArtifactStore, version: ModelVersion) -> None:
    """Raises FailedPrecondition when the bundle of a version is missing or damaged."""
    try:
        artifacts.check("bundles", version.bundle_digest)
        read_manifest(artifacts, version.bundle_digest)
    except (IntegrityError, NotFound) as exc:
        raise FailedPrecondition(f"{version.name} cannot serve: {exc}", reason="BUNDLE_DAMAGED") from exc
