"""A whole life of texts in the real suite: nothing on its disk shows them, and keys decide what can be read."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.sealed import places_with
from support.stacks import ForkingStack, calling
from support.tiny import labelled_rows, save_base
from support.waiting import until_sync
from symbiont.api.training.v1.dataset_pb2 import CleanTransform, Transform
from symbiont.api.training.v1.training_job_pb2 import JOB_STATE_PAUSED, JOB_STATE_SUCCEEDED
from symbiont.cli.app import app
from symbiont.client import Client, training_spec
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import IntegrityError, SymbiontError
from symbiont.local.encryption import open_artifacts
from symbiont.local.home import Home
from symbiont.local.stack import Stack
from symbiont.training.data.rows import read_rows

# A text, names of labels, a term of a domain, an id and a text of a catalogue, a reason that somebody gave.
TEXT, LABELS, TERM = (
    "zyxwvut-canary-text",
    {"good": "plumage-canary-good", "bad": "plumage-canary-bad"},
    "estoppelcanary",
)
ENTRY, ANSWER, COMMENT = "entry-canary", "catalogue-canary-answer", "comment-canary-why"
CANARIES = (TEXT, *LABELS.values(), TERM, ANSWER, COMMENT)
COMMON = {"base_model": "tiny", "epochs": 2, "batch_size": 8}
ASKED = [f"a good bank {TEXT}", "a bad day"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("sealed") / "home")


@pytest.fixture(scope="module")
def said(home: Home) -> dict[str, object]:
    """Runs the suite, and stops it; returns what it answered."""
    with running(home) as (client, second):
        live(client, second, home.root.parent)
        return answers(client)


@contextmanager
def running(home: Home) -> Iterator[tuple[Client, Client]]:
    """Runs the suite on a home, for a block; yields the clients of two people."""
    with ForkingStack(home) as stack:
        stack.wait_ready()
        with calling(stack, principal="ana") as client, calling(stack, principal="bo") as second:
            yield client, second


def live(client: Client, second: Client, folder: Path) -> None:
    """Does of everything something that texts pass."""
    client.register_base_model("tiny", folder=save_base(folder / "tiny"))
    rows = labelled_rows(160)
    names = dict(zip(sorted({label for _, label in rows}), LABELS.values(), strict=False))
    lines = [{"text": f"{text} {TEXT}", "label": names[label]} for text, label in rows]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    client.create_dataset("raw", folder / "rows.jsonl")
    client.validate_dataset("raw")
    client.prepare_dataset("raw", "rows", [Transform(clean=CleanTransform())])
    client.derive_tokenizer("tiny", [TERM], tokenizer_id="law")
    version = trained(
        client, training_spec(dataset="rows", model="mood", method="lora", checkpoint_interval=10, **COMMON)
    )
    client.judge(version)
    second.approve(version, comment=COMMENT)
    client.promote(version)
    client.promote(trained(client, training_spec(dataset="rows", model="near", head="embedding", **COMMON)))
    client.create_catalogue("faq", "near")
    client.update_catalogue_entries(
        "faq", [(f"{ENTRY}-{n}", f"{text} {ANSWER}") for n, (text, _) in enumerate(rows[:12])]
    )
    paused = training_spec(dataset="rows", model="paused", checkpoint_interval=20, **{**COMMON, "epochs": 20})
    job = client.create_training_job(paused).name
    until_sync(lambda: client.get_training_job(job).progress.step > 30, 200)
    client.pause_training_job(job)
    until_sync(lambda: client.get_training_job(job).state == JOB_STATE_PAUSED, 100)


def trained(client: Client, spec: object) -> str:
    job = client.create_training_job(spec).name  # type: ignore[arg-type]
    list(client.watch_training_job(job))
    ended = client.get_training_job(job)
    assert ended.state == JOB_STATE_SUCCEEDED, ended.failure
    return ended.model_version


def answers(client: Client) -> dict[str, object]:
    """Returns what the suite answers, for times apart to be compared."""
    found = client.predict("mood", ASKED).predictions
    matches = client.search_catalogue("faq", ["a good bank"]).rankings[0].matches
    return {
        "labels": [prediction.label for prediction in found],
        "probabilities": [pytest.approx(prediction.probability, abs=1e-4) for prediction in found],
        "matches": [match.id for match in matches],
        "counts": {each.label: each.count for each in client.get_dataset("rows").label_counts},
    }


def artifacts(home: Home) -> Iterator[tuple[str, str]]:
    for folder in sorted(home.artifacts.glob("*/*/")):
        if len(folder.name) == 64:
            yield folder.parent.name, folder.name


# The whole suite, with three trainings.
@pytest.mark.timeout(900)
def test_no_byte_on_the_disk_shows_a_text(home: Home, said: dict[str, object]) -> None:
    assert set(said["labels"]) <= set(LABELS.values())  # type: ignore[call-overload]
    # What is looked for was there to be seen, and the check sees it.
    assert any(TEXT in row.text for row in read_rows(open_artifacts(home), dataset_digest(home)))
    assert places_with(CANARIES, home.root.parent) == ["rows.jsonl"]
    kinds = {kind for kind, digest in artifacts(home) if not ArtifactStore(home.artifacts).is_public(kind, digest)}
    assert kinds >= {"datasets", "bundles", "checkpoints", "evaluations", "catalogues", "tokenizers"}


def dataset_digest(home: Home) -> str:
    store = open_artifacts(home)
    return store.list("datasets")[0]


def test_a_flipped_bit_in_any_encrypted_file_is_found(home: Home, said: dict[str, object], tmp_path: Path) -> None:
    copy = Home(tmp_path / "home")
    shutil.copytree(home.artifacts, copy.artifacts)
    shutil.copy2(home.master_key, copy.master_key)
    count = 0
    for kind, digest in artifacts(copy):
        folder = copy.artifacts / kind / digest
        if open_artifacts(copy).is_public(kind, digest):
            continue
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            raw = file.read_bytes()
            for place in (12, len(raw) // 2, len(raw) - 1):
                changed = bytearray(raw)
                changed[place] ^= 4
                file.write_bytes(changed)
                with pytest.raises(IntegrityError, match=digest):
                    open_artifacts(copy).check(kind, digest)
                count += 1
            file.write_bytes(raw)
        open_artifacts(copy).check(kind, digest)
    assert count > 30


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_after_rotations_everything_is_as_it_was(home: Home, said: dict[str, object]) -> None:
    before = {path: path.read_bytes() for path in home.artifacts.rglob("*") if path.is_file()}
    for arguments in (["--master"], ["--tenant", ""], ["--master"]):
        keys("rotate", *arguments, "--home", str(home.root))
    changed = {path for path, raw in before.items() if path.read_bytes() != raw}
    assert {path.parent.name for path in changed} == {"keys"}
    with running(home) as (client, _):
        assert answers(client) == said
        (job,) = (job.name for job in client.list_training_jobs() if job.state == JOB_STATE_PAUSED)
        client.resume_training_job(job)
        lines = [event.log_line.text for event in client.watch_training_job(job)]
        assert any(line.startswith("resuming after step ") for line in lines)
    assert places_with(CANARIES, home.root) == []


def test_without_its_master_key_a_home_says_what_to_do(home: Home, said: dict[str, object], tmp_path: Path) -> None:
    hidden = home.master_key.rename(tmp_path / "key")
    try:
        with pytest.raises(SymbiontError, match="put the file back"), Stack(home):
            pass
    finally:
        hidden.rename(home.master_key)


def keys(*arguments: str) -> None:
    app(["keys", *arguments], standalone_mode=False)
