from pathlib import Path

import pytest

from symbiont.common.errors import InvalidArgument
from symbiont.engine.settings import HostSettings

SETTINGS = HostSettings(Path("/artifacts"), "a" * 64, threads=2, runtime="openvino", precision="bf16")


def test_settings_survive_the_parameters():
    assert HostSettings.from_parameters(SETTINGS.to_parameters()) == SETTINGS


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("runtime", {"runtime": "onnx"}),
        ("precision", {"precision": "fp8"}),
        ("precision", {"runtime": "torch", "precision": "int8"}),
        ("precision", {"runtime": "auto", "precision": "int8"}),
        ("device", {"device": "cuda"}),
        ("parameters", {"threads": "two"}),
    ],
)
def test_what_no_runtime_can_do_is_refused_by_name(field, changes):
    with pytest.raises(InvalidArgument) as caught:
        HostSettings.from_parameters(SETTINGS.to_parameters() | changes)
    assert caught.value.field == field


def test_a_missing_parameter_is_refused():
    parameters = SETTINGS.to_parameters()
    del parameters["runtime"]
    with pytest.raises(InvalidArgument, match="runtime"):
        HostSettings.from_parameters(parameters)
