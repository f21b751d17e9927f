"""What a job has made is signed before it is a version; what another has made is not."""

from pathlib import Path

import pytest

from support.bundles import random_bundle, tiny_base
from support.registry import tiny_spec
from symbiont.common.artifacts import ArtifactStore, SigningKey, Trust
from symbiont.common.errors import FailedPrecondition
from symbiont.training import types
from symbiont.training.jobs import Jobs
from symbiont.training.notifier import Notifier
from symbiont.training.store import Places, Store
from symbiont.training.types import WorkerReport
from symbiont.training.vouching import Vouching


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey.make(tmp_path / "key.pem")


@pytest.fixture
def jobs(registry: Store, artifacts: ArtifactStore, key: SigningKey) -> Jobs:
    trusting = ArtifactStore(artifacts.root, trust=Trust.parse(key.line(), required=True))
    return Jobs(registry, trusting, Notifier(), vouch=Vouching(artifacts, key).vouch)


async def running(jobs: Jobs) -> str:
    job = await jobs.create(tiny_spec(), "")
    await jobs.validate(job.id)
    await jobs.claim("me", 60, Places(10))
    await jobs.take(WorkerReport(job.id, 1, 0, types.Hello(1)))
    await jobs.take(WorkerReport(job.id, 1, 1, types.EvaluationStarted()))
    return job.id


async def test_a_version_is_signed_when_it_is_stored(
    jobs: Jobs, artifacts: ArtifactStore, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await running(jobs)
    digest, _ = random_bundle(artifacts, tiny_base(artifacts), job=f"jobs/{job}")
    trusting = ArtifactStore(artifacts.root, trust=Trust.parse(key.line(), required=True))
    assert trusting.signers(digest) == frozenset()
    ended = await jobs.take(WorkerReport(job, 1, 2, types.Done(digest)))
    assert ended.state is types.JobState.SUCCEEDED
    assert trusting.signers(digest) == {""}


async def test_nobody_has_another_jobs_bundle_signed(jobs: Jobs, artifacts: ArtifactStore, key: SigningKey) -> None:
    job = await running(jobs)
    digest, _ = random_bundle(artifacts, tiny_base(artifacts), job="jobs/another")
    with pytest.raises(FailedPrecondition) as caught:
        await jobs.take(WorkerReport(job, 1, 2, types.Done(digest)))
    assert caught.value.reason == "FOREIGN_BUNDLE"
    trusting = ArtifactStore(artifacts.root, trust=Trust.parse(key.line(), required=True))
    assert trusting.signers(digest) == frozenset()
    assert (await jobs.get(job)).state is types.JobState.EVALUATING


async def test_an_attempt_that_is_over_has_nothing_signed(
    jobs: Jobs, artifacts: ArtifactStore, key: SigningKey
) -> None:
    job = await running(jobs)
    digest, _ = random_bundle(artifacts, tiny_base(artifacts), job=f"jobs/{job}")
    with pytest.raises(FailedPrecondition):
        await jobs.take(WorkerReport(job, 7, 2, types.Done(digest)))
    trusting = ArtifactStore(artifacts.root, trust=Trust.parse(key.line(), required=True))
    assert trusting.signers(digest) == frozenset()
