"""A registry whose datasets have rows of subjects, and the service that forgets them."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from support.registry import upload_rows
from support.service import fork_server
from support.tiny import labelled_rows
from symbiont.common.artifacts import ArtifactStore
from symbiont.training.data.rows import Row, read_rows
from symbiont.training.erasure.erasure import Forgetting
from symbiont.training.gate.gate import DataGate
from symbiont.training.jobs import Jobs
from symbiont.training.notifier import Notifier
from symbiont.training.store import Store

CANARY = "zebra quartz"


def subject_rows(count: int = 60) -> list[dict[str, str]]:
    """Rows of three subjects; those of `ann` say the canary."""
    source = random.Random(3)
    rows = []
    for text, label in labelled_rows(count):
        who = source.choice(["ann", "bob", "cy"])
        rows.append({"text": f"{text} {CANARY}" if who == "ann" else text, "label": label, "who": who})
    return rows


@pytest.fixture
def stocked(registry: Store, artifacts: ArtifactStore) -> Store:
    """The registry with datasets/people beside datasets/rows."""
    registry.add_dataset(upload_rows(artifacts, subject_rows(), "people", subject_column="who"))
    return registry


@pytest.fixture
def gate(stocked: Store, artifacts: ArtifactStore, tmp_path: Path) -> DataGate:
    return DataGate(stocked, artifacts, tmp_path / "gate", fork_server=fork_server())


@pytest.fixture
def make_forgetting(stocked: Store, gate: DataGate) -> Callable[[ArtifactStore], Forgetting]:
    return lambda artifacts: Forgetting(stocked, artifacts, Jobs(stocked, artifacts, Notifier()), gate)


@pytest.fixture
def forgetting(make_forgetting: Callable[[ArtifactStore], Forgetting], artifacts: ArtifactStore) -> Forgetting:
    return make_forgetting(artifacts)


def rows_of(store: Store, artifacts: ArtifactStore, identifier: str) -> list[Row]:
    return list(read_rows(artifacts, store.dataset(identifier).digest))


def stored_texts(artifacts: ArtifactStore) -> str:
    """Returns everything that any artifact holds, as far as it is text."""
    files = [path for path in Path(artifacts.root).rglob("*") if path.is_file()]
    return "\n".join(path.read_bytes().decode("utf-8", "replace") for path in files)
