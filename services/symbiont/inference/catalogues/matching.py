"""Answers queries that name a catalogue: from the vector of a text to the entries that are nearest."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from symbiont.common.errors import InvalidArgument, NotFound
from symbiont.inference.catalogues.embedding import check_pin
from symbiont.inference.catalogues.shelf import Loaded, Shelf
from symbiont.inference.catalogues.types import DEFAULT_TOP_K, MAX_TOP_K, Vectors, parse_catalogue
from symbiont.inference.catalogues.versions import Versions
from symbiont.inference.instances import Query
from symbiont.inference.metrics import CatalogueMetrics
from symbiont.inference.results import Embedding, Match, Ranking, Result
from symbiont.inference.types import PredictCall, Served

MAX_CATALOGUES = 8
# Writing an answer holds up every other call of the process.
MAX_MATCHES = 100_000
_TRIES = 5


@dataclass(frozen=True)
class Opened:
    """The catalogues of a call: of each, the version that answers it and the instances that ask it."""

    queries: Mapping[str, Sequence[int]]
    loaded: Mapping[str, Loaded]


class Matching:
    """What the predictor asks about catalogues."""

    def __init__(self, versions: Versions, shelf: Shelf, metrics: CatalogueMetrics) -> None:
        self._versions = versions
        self._shelf = shelf
        self._metrics = metrics

    async def open(self, call: PredictCall, served: Served) -> Opened | None:
        """Returns the catalogues that a call names, as they are now; None when it names none.

        Raises:
            InvalidArgument: a name or `top_k` is out of its limits.
            NotFound: there is no such catalogue, or its version is no longer kept.
            FailedPrecondition: another bundle than the model's has embedded its entries (reason SKEW), or it does not
                fit into memory.
        """
        queries: dict[str, list[int]] = {}
        for index, instance in enumerate(call.instances):
            if isinstance(instance.input, Query) and instance.input.catalogue:
                queries.setdefault(instance.input.catalogue, []).append(index)
        if not queries:
            return None
        _check(call, queries)
        digest = served.version.bundle_digest
        return Opened(queries, {name: await self._open(name, digest, _field(queries[name])) for name in queries})

    async def answer(self, call: PredictCall, opened: Opened, results: Sequence[Result]) -> Sequence[Result]:
        """Puts rankings in the place of the vectors of queries."""
        answers = list(results)
        for name, places in opened.queries.items():
            loaded = opened.loaded[name]
            vectors = [result.values for place in places if isinstance(result := results[place], Embedding)]
            rankings = await asyncio.to_thread(self._search, loaded, np.stack(vectors), call)
            for place, ranking in zip(places, rankings, strict=True):
                answers[place] = ranking
        return answers

    async def _open(self, name: str, bundle: str, field: str) -> Loaded:
        catalogue, number = parse_catalogue(field, name)
        for _ in range(_TRIES):
            version = await asyncio.to_thread(self._versions.at, catalogue, number, field)
            check_pin(version.pin, bundle, version.name, field)
            try:
                return await self._shelf.get(version)
            except NotFound:
                # It was removed between two looks: by then there is a newer one, unless the catalogue is gone.
                continue
        raise NotFound(f"{name} has no version that can be read", field=field)

    def _search(self, loaded: Loaded, vectors: Vectors, call: PredictCall) -> list[Ranking]:
        started = time.perf_counter()
        least = -np.inf if call.threshold is None else call.threshold
        found = loaded.search(vectors, call.top_k or DEFAULT_TOP_K, least)
        self._metrics.searched(len(vectors), time.perf_counter() - started, exact=loaded.index is None)
        return [
            Ranking(
                [Match(r, s, loaded.ids[r]) for r, s in zip(rows.tolist(), scores.tolist(), strict=True)],
                loaded.version.name,
            )
            for rows, scores in found
        ]


def _field(places: Sequence[int]) -> str:
    return f"instances[{places[0]}].query.catalogue"


def _check(call: PredictCall, queries: Mapping[str, Sequence[int]]) -> None:
    if len(queries) > MAX_CATALOGUES:
        problem = f"{len(queries)} different catalogues, at most {MAX_CATALOGUES} are searched in a call"
        raise InvalidArgument("instances", problem, reason="BATCH_TOO_LARGE")
    if call.top_k > MAX_TOP_K:
        raise InvalidArgument("top_k", f"{call.top_k}; of a catalogue at most {MAX_TOP_K} are given", reason="TOP_K")
    matches = (call.top_k or DEFAULT_TOP_K) * sum(map(len, queries.values()))
    if matches > MAX_MATCHES:
        problem = f"{matches} matches in an answer, at most {MAX_MATCHES} are given; set it or send fewer instances"
        raise InvalidArgument("top_k", problem, reason="ANSWER_TOO_LARGE")
