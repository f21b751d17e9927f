import json
from pathlib import Path

import pytest
from google.protobuf.json_format import Parse
from tritonclient.grpc.model_config_pb2 import ModelConfig

from symbiont.common.errors import InvalidArgument
from symbiont.engine.settings import HostSettings
from symbiont.triton.host_model import host_config, host_config_json, host_files, host_name

SETTINGS = HostSettings(Path("/artifacts"), "0123456789abcdef" * 4, threads=2, max_slots=7, device="auto")


def test_the_name_tells_the_base():
    assert host_name(SETTINGS.base_digest) == "host-0123456789ab"


def test_the_configuration_says_what_the_contract_says():
    config = json.loads(host_config_json(SETTINGS))
    assert config["name"] == "host-0123456789ab"
    assert config["backend"] == "python"
    assert config["max_batch_size"] == 1
    assert {(i["name"], i["data_type"], i.get("optional", False), *i["dims"]) for i in config["input"]} == {
        ("INPUT_IDS", "TYPE_INT32", False, "-1"),
        ("ROW_LENGTHS", "TYPE_INT32", False, "-1"),
        ("BUNDLE_DIGEST", "TYPE_STRING", False, "-1"),
        ("SEGMENT_STARTS", "TYPE_INT32", True, "-1"),
        ("TIME_LEFT", "TYPE_INT32", True, "-1"),
        ("FEATURES", "TYPE_FP32", True, "-1"),
        ("FEATURE_LENGTHS", "TYPE_INT32", True, "-1"),
    }
    assert {(o["name"], o["data_type"], *o["dims"]) for o in config["output"]} == {
        ("OUTPUT", "TYPE_FP32", "-1"),
        ("OUTPUT_LENGTHS", "TYPE_INT32", "-1"),
        ("ERRORS", "TYPE_STRING", "-1"),
        ("TIMES", "TYPE_INT32", "-1"),
    }
    assert "dynamic_batching" not in config


def test_json_and_message_are_the_same():
    assert Parse(host_config_json(SETTINGS), ModelConfig()) == host_config(SETTINGS)


def test_settings_survive_the_parameters():
    assert HostSettings.from_parameters(SETTINGS.to_parameters()) == SETTINGS


def test_parameters_keep_a_url():
    settings = HostSettings("s3://bucket/prefix", "")
    assert settings.to_parameters()["artifact_root"] == "s3://bucket/prefix"
    assert HostSettings.from_parameters(settings.to_parameters()) == settings


def test_parameters_name_an_absolute_folder():
    assert Path(HostSettings(Path("here"), "").to_parameters()["artifact_root"]).is_absolute()


@pytest.mark.parametrize("change", [{"threads": "two"}, {"device": None}])
def test_broken_parameters_are_refused(change):
    parameters = {k: v for k, v in (SETTINGS.to_parameters() | change).items() if v is not None}
    with pytest.raises(InvalidArgument):
        HostSettings.from_parameters(parameters)


def test_the_inline_code_compiles():
    (code,) = host_files().values()
    compile(code, "model.py", "exec")
