"""Releases on the real stack: swaps that no call notices, candidates that are taken back, bundles that never serve."""

import asyncio
import hashlib
import sqlite3
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from support import proofs
from support.waiting import until_sync
from symbiont.api.training.v1.model_pb2 import RELEASE_STATE_ACTIVE, RELEASE_STATE_ROLLED_BACK, ReleaseRules
from symbiont.bundle import load_bundle, write_bundle
from symbiont.client import AsyncClient, Client, NotFoundError, Predictions
from symbiont.common.artifacts import SigningKey
from symbiont.local.encryption import open_artifacts
from symbiont.local.signing import key_file

from .conftest import Suite, train

SWAPS = proofs.size("SWAPS", small=3, whole=50)
CALLS_IN_FLIGHT = 3
TEXTS_A_CALL = 2
# Rows of a batch answer as alone within 1e-5; what two versions say of these texts lies far beyond that.
TOLERANCE = 2e-5


@pytest.fixture(scope="module")
def versions(suite: Suite, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """`right` is what the suite trained, `wrong` a version of the same model that learned every label the wrong way."""
    folder = tmp_path_factory.mktemp("wrong")
    labelled = suite.models["sentiment"]
    one, other = {row.label for row in labelled.train}
    swapped = tuple(replace(row, label=other if row.label == one else one) for row in labelled.train)
    job = train(suite.client, folder, "sentiment", replace(labelled, train=swapped), "lora", "wrong-rows")
    list(suite.client.watch_training_job(job))
    return {"right": "sentiment/versions/1", "wrong": suite.client.get_training_job(job).model_version}


@pytest.fixture
def alias(suite: Suite, versions: dict[str, str], request: pytest.FixtureRequest) -> str:
    """An alias of its own for each test, which points at the right version and serves it."""
    name = request.node.name.replace("_", "-")[:60].strip("-")
    suite.client.promote(versions["right"], name)
    until_sync(lambda: served(suite.client, f"sentiment@{name}") == f"models/{versions['right']}")
    return f"sentiment@{name}"


def served(client: Client, model: str) -> str:
    return client.predict(model, ["so be it"]).model_version


def values(answer: Predictions) -> list[dict[str, float]]:
    return [{c.label: c.probability for c in prediction.classes} for prediction in answer.predictions]


async def under_load(
    suite: Suite, alias: str, texts: list[str], meanwhile: Callable[[AsyncClient, list[Predictions]], Awaitable[None]]
) -> list[tuple[list[int], Predictions]]:
    """Asks without a pause while something goes on; returns which texts each call asked, and its answer.

    A call that fails fails the test.
    """
    answers: list[tuple[list[int], Predictions]] = []
    seen: list[Predictions] = []
    done = asyncio.Event()

    async def ask(client: AsyncClient, start: int) -> None:
        while not done.is_set():
            picked = [(start + i) % len(texts) for i in range(TEXTS_A_CALL)]
            answer = await client.predict(alias, [texts[i] for i in picked])
            answers.append((picked, answer))
            seen.append(answer)
            start += TEXTS_A_CALL

    async with AsyncClient(suite.endpoints, credentials=suite.credentials) as client, asyncio.TaskGroup() as group:
        for number in range(CALLS_IN_FLIGHT):
            group.create_task(ask(client, 7 * number))
        await meanwhile(client, seen)
        done.set()
    return answers


@pytest.mark.proof
@pytest.mark.timeout(400, func_only=True)
def test_no_call_notices_a_swap(suite: Suite, versions: dict[str, str], alias: str) -> None:
    texts = [row.text for row in suite.models["sentiment"].held_out[:20]]
    alone = {f"models/{name.removeprefix('models/')}": suite.client.predict(name, texts) for name in versions.values()}
    expected = {name: values(answer) for name, answer in alone.items()}
    digests = {name: answer.bundle_digest for name, answer in alone.items()}
    right, wrong = expected

    async def swap(client: AsyncClient, seen: list[Predictions]) -> None:
        async def serves(version: str) -> None:
            """Waits until calls that begin now are answered by a version."""
            before = len(seen)
            while not any(answer.model_version == version for answer in seen[before:]):  # noqa: ASYNC110
                await asyncio.sleep(0.005)

        for _ in range(SWAPS):
            await client.promote(wrong, alias.partition("@")[2])
            await serves(wrong)
            await client.rollback(alias, wrong)
            await serves(right)

    answers = asyncio.run(under_load(suite, alias, texts, swap))
    assert {answer.model_version for _, answer in answers} == {right, wrong}
    for picked, answer in answers:
        version = answer.model_version
        assert answer.bundle_digest == digests[version]
        for index, got in zip(picked, values(answer), strict=True):
            assert got == pytest.approx(expected[version][index], abs=TOLERANCE)
    print(f"{SWAPS} promotions and as many rollbacks: {len(answers)} calls, none failed, each answered by a version")


def labels(client: Client, model: str, texts: list[str]) -> list[str]:
    """Asks in calls that even a busy machine answers in time."""
    parts = [texts[start : start + 20] for start in range(0, len(texts), 20)]
    return [p.label for part in parts for p in client.predict(model, part).predictions]


def agreed(suite: Suite, versions: dict[str, str], count: int) -> tuple[str, list[str]]:
    """Returns texts that the right version gives one label and the wrong one another, and that first label."""
    texts = [row.text for row in suite.models["sentiment"].held_out[:120]]
    said = {name: labels(suite.client, version, texts) for name, version in versions.items()}
    pairs = Counter(zip(said["right"], said["wrong"], strict=True))
    (label, other), _ = max(((pair, n) for pair, n in pairs.items() if pair[0] != pair[1]), key=lambda found: found[1])
    both = zip(texts, said["right"], said["wrong"], strict=True)
    found = [text for text, mine, its in both if (mine, its) == (label, other)]
    assert len(found) >= count
    return label, found[:count]


@pytest.mark.slow
def test_a_candidate_that_says_other_labels_is_taken_back(suite: Suite, versions: dict[str, str], alias: str) -> None:
    label, texts = agreed(suite, versions, 20)
    rules = ReleaseRules(max_label_shift=0.5, min_samples=40)
    release = suite.client.create_release(alias, versions["wrong"], weight=50, rules=rules)
    calls = Counter[str]()

    def ended() -> bool:
        for number in range(20):
            # The same key gets the same version, for as long as the release runs.
            answer = suite.client.predict(alias, texts[:4], 1, routing_key=f"user-{number}")
            calls[answer.model_version] += 1
        return suite.client.get_release(release.name).state != RELEASE_STATE_ACTIVE

    until_sync(ended, 60)
    over = suite.client.get_release(release.name)
    assert over.state == RELEASE_STATE_ROLLED_BACK
    assert "labels" in over.end_reason
    assert calls.keys() == {f"models/{versions['right']}", versions["wrong"]}
    for number in range(20):
        answer = suite.client.predict(alias, texts, 1, routing_key=f"user-{number}")
        assert {prediction.label for prediction in answer.predictions} == {label}


def in_use(client: Client, release: str) -> bool:
    """Whether inference has heard of a release, and its candidate has answered a first row."""
    with suppress(NotFoundError):
        return client.get_release_observation(release).candidate_in_use
    return False


def test_a_shadow_is_compared_and_answers_nobody(suite: Suite, versions: dict[str, str], alias: str) -> None:
    label, texts = agreed(suite, versions, 12)
    release = suite.client.create_release(alias, versions["wrong"], shadow=True)
    until_sync(lambda: in_use(suite.client, release.name))
    before = suite.client.get_release_observation(release.name).shadow.row_count
    answer = suite.client.predict(alias, texts)
    assert {prediction.label for prediction in answer.predictions} == {label}
    assert answer.model_version == f"models/{versions['right']}"
    seen = suite.client.get_release_observation(release.name)
    assert seen.shadow.row_count == before + len(texts)
    assert seen.shadow.mean_score_shift > 0
    listed = list(suite.client.list_disagreements(release.name))[: len(texts)]
    hashes = {hashlib.sha256(text.encode()).hexdigest() for text in texts}
    assert {found.input_sha256 for found in listed} == hashes
    assert {(found.baseline.label, found.candidate.model_version) for found in listed} == {(label, versions["wrong"])}
    suite.client.end_release(release.name, "seen enough")
    alone = suite.client.predict(versions["wrong"], texts).predictions
    by_hash = {hashlib.sha256(t.encode()).hexdigest(): p for t, p in zip(texts, alone, strict=True)}
    for found in listed:
        assert found.candidate.label == by_hash[found.input_sha256].label
        assert found.candidate.probability == pytest.approx(by_hash[found.input_sha256].probability, abs=TOLERANCE)


def test_a_bundle_that_fails_when_loaded_never_serves(suite: Suite, alias: str) -> None:
    store, right = open_artifacts(suite.home), suite.client.get_model_version("sentiment/versions/1")
    bundle = load_bundle(store, right.bundle_digest, expected_base=right.base_digest)
    # Every digest is right, so that the registry sees nothing wrong; only its own rows show that it is another's head.
    head = {name: values + 1 for name, values in bundle.head.items()}
    broken = write_bundle(store, bundle.manifest, bundle.adapter, head)
    store.sign(broken, SigningKey.read(key_file(suite.home)))
    with closing(sqlite3.connect(suite.home.database)) as db, db:
        columns = "base_model, base_digest, tokenizer_digest, job, evaluation, create_time"
        copied = f"SELECT model, 77, ?, {columns} FROM versions WHERE model = 'sentiment' AND number = 1"
        db.execute(f"INSERT INTO versions (model, number, bundle_digest, {columns}) {copied}", (broken,))
    failed = warm_ups(suite, "failed")
    suite.client.promote("sentiment/versions/77", alias.partition("@")[2])
    until_sync(lambda: warm_ups(suite, "failed") >= failed + 2)
    assert served(suite.client, alias) == "models/sentiment/versions/1"
    assert suite.client.rollback(alias).model_version.name == "models/sentiment/versions/1"


def warm_ups(suite: Suite, result: str) -> float:
    """Returns how many first rows were answered, or failed."""
    with urllib.request.urlopen(suite.stack.record.metrics_urls["inference"]) as response:
        families = text_string_to_metric_families(response.read().decode())
    samples = [sample for family in families for sample in family.samples]
    (count,) = (
        sample.value
        for sample in samples
        if sample.name == "symbiont_inference_warm_ups_total" and sample.labels["result"] == result
    )
    return float(count)
