"""What the inference service can be told about where artifacts lie."""

import pytest
from pydantic import ValidationError

from symbiont.inference.settings import InferenceSettings


def test_vllm_needs_a_folder() -> None:
    far = "s3://bucket/prefix"
    assert InferenceSettings(artifact_root=far, host_artifact_root="s3://bucket/other").host_artifact_root != far
    InferenceSettings(artifact_root=far, host_artifact_root="/models", generation_backend="vllm")
    with pytest.raises(ValidationError, match="set host_artifact_root"):
        InferenceSettings(artifact_root=far, generation_backend="vllm")
