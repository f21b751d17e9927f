"""Asks both models at the same time, and measures."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

from symbiont.cli.demo.texts import LabelledSet
from symbiont.client import AsyncClient, Credentials, NotFoundError, Prediction
from symbiont.client.channels import Endpoints

CONCURRENCY = 16
TEXTS_A_CALL = 8
SINGLE_CALLS = 100
# A promotion reaches inference within moments, not at once.
PROMOTION_SECONDS = 15.0


@dataclass(frozen=True)
class Served:
    """What serving gave. Keys are models; latencies are seconds, sorted."""

    predictions: dict[str, list[Prediction]]
    latencies: dict[str, list[float]]
    texts_per_second: float

    def percentile(self, model: str, share: float) -> float:
        """Returns a percentile of the latency of single calls, in milliseconds."""
        latencies = self.latencies[model]
        return 1e3 * latencies[min(int(share * len(latencies)), len(latencies) - 1)]


async def serve_held_out(
    endpoints: Endpoints, sets: Sequence[LabelledSet], credentials: Credentials | None = None
) -> Served:
    """Sends the held-out rows of all sets in mixed concurrent calls, then single texts one after another."""
    async with AsyncClient(endpoints, credentials=credentials) as client:
        for labelled in sets:
            await _first_answer(client, labelled)
        started = time.perf_counter()
        predictions = await _mixed(client, sets)
        seconds = time.perf_counter() - started
        latencies = {labelled.model: await _one_by_one(client, labelled) for labelled in sets}
    return Served(predictions, latencies, sum(len(s.held_out) for s in sets) / seconds)


async def _first_answer(client: AsyncClient, labelled: LabelledSet) -> None:
    end = time.monotonic() + PROMOTION_SECONDS
    while True:
        try:
            await client.predict(labelled.model, [labelled.held_out[0].text])
        except NotFoundError:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.2)
        else:
            return


async def _mixed(client: AsyncClient, sets: Sequence[LabelledSet]) -> dict[str, list[Prediction]]:
    found: dict[str, list[Prediction]] = {labelled.model: [] for labelled in sets}
    room = asyncio.Semaphore(CONCURRENCY)

    async def ask(model: str, texts: list[str]) -> tuple[str, tuple[Prediction, ...]]:
        async with room:
            return model, (await client.predict(model, texts)).predictions

    # One call of each model in turn, so that calls of both are always in flight together.
    turns = itertools.zip_longest(*([(s.model, texts) for texts in _calls(s)] for s in sets))
    tasks = [ask(*call) for turn in turns for call in turn if call]
    for model, predictions in await asyncio.gather(*tasks):
        found[model].extend(predictions)
    return found


async def _one_by_one(client: AsyncClient, labelled: LabelledSet) -> list[float]:
    seconds = []
    for row in labelled.held_out[:SINGLE_CALLS]:
        started = time.perf_counter()
        await client.predict(labelled.model, [row.text])
        seconds.append(time.perf_counter() - started)
    return sorted(seconds)


def _calls(labelled: LabelledSet) -> list[list[str]]:
    texts = [row.text for row in labelled.held_out]
    return [texts[i : i + TEXTS_A_CALL] for i in range(0, len(texts), TEXTS_A_CALL)]
