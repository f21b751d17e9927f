"""The setting chooses the executor, and what it needs is said before anything starts."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from symbiont.training.executors.choosing import make_executor, pod_settings
from symbiont.training.executors.local import LocalExecutor
from symbiont.training.executors.ray import RayExecutor
from symbiont.training.settings import TrainingSettings


def test_local_unless_told_otherwise(tmp_path: Path) -> None:
    assert isinstance(make_executor(TrainingSettings(state_root=tmp_path)), LocalExecutor)
    made = make_executor(TrainingSettings(executor="ray"))
    assert isinstance(made, RayExecutor)
    made.close()


def test_pods_have_the_volume_or_a_cache_of_a_store_elsewhere() -> None:
    settings = TrainingSettings(executor="kubernetes", kubernetes_image="training:1", artifact_root="/data/artifacts")
    pods = pod_settings(settings, [])
    assert (pods.artifacts, pods.claim, pods.environment) == ("/data/artifacts", "artifacts", {})
    elsewhere = TrainingSettings(
        executor="kubernetes", kubernetes_image="training:1", artifact_root="s3://bucket/x", kubernetes_secrets=["s3"]
    )
    pods = pod_settings(elsewhere, ["python", "-m", "mine"])
    assert (pods.claim, pods.secrets, pods.program) == ("", ["s3"], ["python", "-m", "mine"])
    assert pods.environment == {"SYMBIONT_ARTIFACT_CACHE": pods.artifacts}


def test_a_cluster_needs_an_image() -> None:
    with pytest.raises(ValidationError, match="kubernetes_image must name the image of the workers"):
        TrainingSettings(executor="kubernetes")
