"""Int8 from end to end: a base is quantised, a bundle is trained and checked against it, and the engine serves both."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from support.service import ServiceProcess
from support.tiny import csv_of, labelled_rows, save_base
from symbiont.bundle import read_manifest
from symbiont.client import Client, InvalidArgumentError, NotFoundError, training_spec
from symbiont.client.channels import Endpoints
from symbiont.common.artifacts import ArtifactStore
from symbiont.engine.engine import Engine
from symbiont.engine.openvino_runtime import OpenVinoRuntime
from symbiont.engine.row import Row

TEXTS = [text for text, _ in labelled_rows(120, seed=9)]
STAGES = ["tokenizing", "loading", "quantizing", "storing"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    return ArtifactStore(tmp_path_factory.mktemp("int8") / "artifacts")


@pytest.fixture(scope="module")
def client(store: ArtifactStore) -> Iterator[Client]:
    folder = store.root.parent
    tokenization = ServiceProcess("tokenization", folder, artifact_root=store.root)
    training = ServiceProcess(
        "training",
        folder,
        artifact_root=store.root,
        database_url=f"sqlite:///{folder}/symbiont.db",
        state_root=folder / "jobs",
        tokenization_address=tokenization.address,
        poll_seconds=0.1,
        worker_threads=1,
    )
    tokenization.start()
    training.start()
    with Client(Endpoints(training=training.address, tokenization=tokenization.address)) as client:
        client.register_base_model("tiny", folder=save_base(folder / "tiny"))
        yield client
    assert training.stop() == 0
    assert tokenization.stop() == 0
    # What a base was quantised with is nobody's to read.
    assert all(text not in json.dumps(training.events(), ensure_ascii=False) for text in TEXTS)


@pytest.mark.slow
def test_from_texts_to_a_bundle_that_was_checked(client: Client, store: ArtifactStore, tmp_path: Path) -> None:
    stages: list[str] = []
    base = client.quantize_base_model("tiny", TEXTS, progress=stages.append)
    assert stages == STAGES
    assert base.quantized_digest == client.get_base_model("tiny").quantized_digest
    assert store.manifest("quantized", base.quantized_digest)["base_digest"] == base.digest
    assert store.manifest("quantized", base.quantized_digest)["rows"] == len(TEXTS)

    (tmp_path / "rows.csv").write_bytes(csv_of(labelled_rows(1100)))
    client.create_dataset("rows", tmp_path / "rows.csv")
    spec = training_spec(base_model="tiny", dataset="rows", model="mood", epochs=1, batch_size=32, learning_rate=0.01)
    job = client.create_training_job(spec)
    events = list(client.watch_training_job(job.name))
    (said,) = [e.log_line.text for e in events if e.log_line.text.startswith("int8 is ")]
    done = client.get_training_job(job.name)
    version = client.get_model_version(done.model_version)
    manifest = read_manifest(store, version.bundle_digest)
    found = manifest.int8
    assert found is not None
    assert (found.quantized_digest, found.rows) == (base.quantized_digest, done.evaluation.row_count)
    assert said.startswith(f"int8 is {'allowed' if found.allowed else 'not allowed'}: {found.agreement:.2%} of")
    assert found.allowed is (found.agreement >= 0.995 and found.metric_change >= -0.003)

    rows = [Row(np.random.default_rng(n).integers(5, 90, 9).astype(np.int32), version.bundle_digest) for n in range(8)]
    exact, rounded = (
        np.array(Engine(OpenVinoRuntime(store, base.digest, threads=1, precision=precision), store).infer(rows))
        for precision in ("fp32", "int8")
    )
    # Only what was allowed is another arithmetic.
    assert np.allclose(exact, rounded, rtol=0, atol=1e-5) is not found.allowed
    np.testing.assert_allclose(rounded, exact, rtol=0, atol=0.3)


@pytest.mark.parametrize(
    ("texts", "field"),
    [(TEXTS[:99], "texts"), (TEXTS * 18, "texts"), ([*TEXTS[:40], " \t", *TEXTS], "texts[40]"), ([], "texts")],
)
def test_texts_that_cannot_be_used_are_named(client: Client, texts: list[str], field: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        client.quantize_base_model("tiny", texts)
    assert caught.value.field == field


def test_a_base_that_is_not_there_is_not_found(client: Client) -> None:
    with pytest.raises(NotFoundError):
        client.quantize_base_model("nobody", TEXTS)
