"""From a model reference to the version that answers."""

import asyncio
import random

from symbiont.common.errors import NotFound, SymbiontError
from symbiont.common.log import get_logger
from symbiont.common.lru import Lru
from symbiont.inference.deadline import Deadline
from symbiont.inference.metrics import InferenceMetrics
from symbiont.inference.ports import Registry
from symbiont.inference.reference import ModelReference
from symbiont.inference.table import RoutingTable
from symbiont.inference.types import ModelVersion

FIRST_DELAY, LARGEST_DELAY = 0.1, 3.0
FIELD = "model"


class Router:
    """Answers from the routing table, which it keeps up to date; asks the registry only for what is not in there.

    A registry that is down therefore stops no model that was known before.
    """

    def __init__(
        self, registry: Registry, table: RoutingTable, metrics: InferenceMetrics, cached_versions: int
    ) -> None:
        self._registry = registry
        self._table = table
        self._metrics = metrics
        # Versions never change, so what was heard once stays true.
        self._versions: Lru[tuple[str, int], ModelVersion] = Lru(cached_versions)

    async def resolve(self, reference: ModelReference, deadline: Deadline) -> ModelVersion:
        """Returns the version that a reference means now.

        Raises:
            NotFound: there is no such model, alias or version.
            Unavailable: it is not known here and the registry cannot be asked.
        """
        if reference.version:
            return await self._version(reference.model, reference.version, deadline)
        found = self._table.find(reference.model, reference.alias)
        return found or await self._ask(reference, deadline)

    async def follow(self) -> None:
        """Feeds the table from the registry, for ever: a lost stream is opened again."""
        delay = FIRST_DELAY
        while True:
            if await self._follow_once():
                delay = FIRST_DELAY
            self._metrics.registry_connected.set(0)
            # Many processes lose one registry at the same moment; they must not come back at the same moment.
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311, no secret depends on it
            delay = min(2 * delay, LARGEST_DELAY)

    async def _follow_once(self) -> bool:
        """Follows one stream to its end; returns whether it brought anything."""
        heard = False
        try:
            async for update in self._registry.watch():
                if not heard:
                    get_logger().info("following the registry", aliases=len(update.aliases))
                heard = True
                self._metrics.registry_connected.set(1)
                self._table.apply(update)
        except SymbiontError as exc:
            get_logger().warning("the registry is not followed now", error=str(exc))
        return heard

    async def _version(self, model: str, number: int, deadline: Deadline) -> ModelVersion:
        found = self._versions.get((model, number))
        if not found:
            try:
                found = await self._registry.version(model, number, deadline.remaining())
            except NotFound as exc:
                raise NotFound(f"models/{model}/versions/{number} does not exist", field=FIELD) from exc
            self._versions.put((model, number), found)
        return found

    async def _ask(self, reference: ModelReference, deadline: Deadline) -> ModelVersion:
        try:
            aliases = await self._registry.aliases(reference.model, deadline.remaining())
        except NotFound as exc:
            raise NotFound(f"models/{reference.model} does not exist", field=FIELD) from exc
        for alias in aliases:
            if alias.alias == reference.alias:
                return alias.version
        known = ", ".join(repr(alias.alias) for alias in aliases) or "none"
        raise NotFound(f"models/{reference.model} has no alias {reference.alias!r}; its aliases: {known}", field=FIELD)
