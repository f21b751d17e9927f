"""The suite that a benchmark measures: one of its own, with a model that it trains, or one that runs already."""

import argparse
import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from symbiont.api.training.v1.model_pb2 import ModelVersion
from symbiont.cli.target import endpoints_of
from symbiont.client import Client, Endpoints
from symbiont.local.encryption import encryption_variables
from symbiont.local.home import Home, RunRecord
from symbiont.local.stack import Stack


@dataclass(frozen=True)
class RunningSuite:
    """A suite, one of its models by id, and the version that the model's only alias means."""

    home: Home
    record: RunRecord
    model: str
    version: ModelVersion

    @property
    def endpoints(self) -> Endpoints:
        """Addresses of the services."""
        return endpoints_of(self.record.addresses)


def add_home(parser: argparse.ArgumentParser) -> None:
    """Adds the option that names a suite which runs already."""
    parser.add_argument("--home", type=Path, help="measure the suite that runs on this home; default: one of its own")


@contextlib.contextmanager
def running_suite(home: Path | None, model: str, train: Callable[[Client, Path], None]) -> Iterator[RunningSuite]:
    """Gives a suite for the block.

    Args:
        home: of the suite that runs already and serves the model; None starts one.
        model: its id.
        train: makes the model in a new suite; it gets a folder for its files.
    """
    if home is not None:
        record = Home(home.absolute()).running()
        if record is None:
            raise SystemExit(f"no suite runs on {home}")
        yield _found(Home(home.absolute()), record, model)
        return
    with tempfile.TemporaryDirectory() as temporary, Stack(Home(Path(temporary) / "home"), insecure=True) as stack:
        stack.wait_ready()
        with Client(endpoints_of(stack.record.addresses)) as client:
            train(client, Path(temporary))
        yield _found(stack.home, stack.record, model)


def _found(home: Home, record: RunRecord, model: str) -> RunningSuite:
    # What the suite stores is read here, too, by parts that are measured alone.
    os.environ.update(encryption_variables(home))
    with Client(endpoints_of(record.addresses)) as client:
        (alias,) = client.get_model(model).aliases
    return RunningSuite(home, record, model, alias.model_version)
