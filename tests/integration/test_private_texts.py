"""What tells of a person is gone once a dataset was anonymised: of a whole run nothing has it, wherever one looks."""

import io
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from support.tiny import labelled_rows, save_base
from support.training_suite import Suite
from support.waiting import until_sync
from symbiont.api.training.v1.dataset_pb2 import AnonymizeTransform, Transform
from symbiont.api.training.v1.training_job_pb2 import JOB_STATE_SUCCEEDED
from symbiont.client import Client
from symbiont.client.channels import Endpoints

# By kind: an e-mail address, a mobile phone, an ID number, a bank card, a phone as it is written in English.
PRIVATE = ("lena.wolf@example.org", "13812345678", "11010519491231002X", "6222021234567890128", "+1 415-555-2671")
HYPER = {"epochs": 2, "batch_size": 8, "learning_rate": 0.02, "max_tokens": 24}


@pytest.fixture
def suite(tmp_path: Path) -> Iterator[Suite]:
    suite = Suite(tmp_path, plan_seconds=1)
    suite.tokenization.start()
    suite.training.start()
    suite.register(save_base(tmp_path / "tiny"))
    yield suite
    suite.channel.close()
    suite.training.stop()
    suite.tokenization.stop()


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yields every file, and what is packed in one."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        content = path.read_bytes()
        yield str(path), content
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(io.BytesIO(content)) as packed:
                for name in packed.namelist():
                    yield f"{path}/{name}", packed.read(name)


def found(places: Iterator[tuple[str, bytes]]) -> list[str]:
    """Returns where something private is: as it is, or in the utf-16 and utf-32 of arrays of texts."""
    sought = [np.char.encode(text, how).item() for text in PRIVATE for how in ("utf-8", "utf-16-le", "utf-32-le")]
    return [name for name, content in places if any(each in content for each in sought)]


# A whole run: upload, gate, training, judgement, report.
@pytest.mark.timeout(400)
def test_nothing_of_a_run_has_what_was_anonymised(suite: Suite, tmp_path: Path) -> None:
    rows = [
        f"{text} {PRIVATE[number % len(PRIVATE)]},{label}" if number % 3 == 0 else f"{text},{label}"
        for number, (text, label) in enumerate(labelled_rows(150))
    ]
    raw = tmp_path.parent / f"{tmp_path.name}-raw.csv"
    raw.write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    endpoints = Endpoints(training=suite.training.address, tokenization=suite.tokenization.address)
    with Client(endpoints, principal="ml") as client:
        client.create_dataset("raw", raw)
        # The check sees what it looks for.
        assert found(contents(tmp_path))
        validated = client.validate_dataset("raw")
        client.prepare_dataset("raw", "clean", [Transform(anonymize=AnonymizeTransform())])
        client.delete_dataset("raw")
        job = client.create_training_job(suite.spec(dataset="datasets/clean", lora={}, hyperparameters=HYPER))
        until_sync(lambda: client.get_training_job(job.name).HasField("end_time"), 200)
        ended = client.get_training_job(job.name)
        assert ended.state == JOB_STATE_SUCCEEDED, ended.failure
        judged = client.judge(ended.model_version)
        page = client.get_evaluation_report(judged.name, with_texts=True).content
        passport = client.get_model_passport(ended.model_version)
        client.promote(ended.model_version)
        log = b"".join(client.read_training_log(job.name))
        events = suite.events(job.name)
    said = [*map(str, events), str(passport), str(validated), log.decode()]
    metrics = [
        urllib.request.urlopen(f"http://{service.metrics_address}/metrics").read()
        for service in (suite.training, suite.tokenization)
    ]
    answers = [("page", page), *(("answer", text.encode()) for text in said), *(("metrics", m) for m in metrics)]
    assert found(iter(answers)) == []
    assert found(contents(tmp_path)) == []
