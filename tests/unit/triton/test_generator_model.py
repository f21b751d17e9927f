import json
from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf.json_format import Parse
from tritonclient.grpc.model_config_pb2 import ModelConfig

from symbiont.common.errors import FailedPrecondition, InvalidArgument
from symbiont.engine.generation import wire
from symbiont.engine.generation.settings import GeneratorSettings
from symbiont.triton.generator_model import (
    config_json,
    generator_config,
    generator_files,
    generator_name,
    vllm_config,
    vllm_files,
)

SETTINGS = GeneratorSettings(Path("/artifacts"), "0123456789abcdef" * 4, threads=2, max_sequences=7, token_budget=99)


def test_the_name_tells_the_base():
    assert generator_name(SETTINGS.base_digest) == "generator-0123456789ab"


def test_a_generator_is_decoupled_and_every_input_is_optional():
    config = json.loads(config_json(generator_config(SETTINGS)))
    assert (config["name"], config["backend"]) == ("generator-0123456789ab", "python")
    assert config["model_transaction_policy"] == {"decoupled": True}
    assert "max_batch_size" not in config
    assert {i["name"] for i in config["input"]} == set(wire.INPUTS)
    assert all(i["optional"] for i in config["input"])
    assert {o["name"] for o in config["output"]} == set(wire.OUTPUTS)


@pytest.mark.parametrize("make", [generator_config, vllm_config])
def test_json_and_message_are_the_same(make):
    assert Parse(config_json(make(SETTINGS)), ModelConfig()) == make(SETTINGS)


def test_the_settings_travel_as_parameters():
    parameters = {name: value.string_value for name, value in generator_config(SETTINGS).parameters.items()}
    assert GeneratorSettings.from_parameters(parameters) == SETTINGS
    far = replace(SETTINGS, artifact_root="s3://bucket/prefix")
    assert GeneratorSettings.from_parameters(far.to_parameters()) == far
    with pytest.raises(InvalidArgument):
        GeneratorSettings.from_parameters({**parameters, "threads": "many"})


def test_the_code_is_the_packages_own():
    (code,) = generator_files().values()
    assert b"symbiont.engine.generation.backend" in code


def test_vllm_gets_the_artifacts_as_its_model_and_tokenizer():
    config = json.loads(config_json(vllm_config(SETTINGS)))
    assert (config["backend"], config["instance_group"][0]["kind"]) == ("vllm", "KIND_MODEL")
    assert [i["name"] for i in config["input"] if not i.get("optional")] == ["text_input"]
    arguments = json.loads(vllm_files(SETTINGS, "f" * 64, {"max_num_seqs": 3, "dtype": "half"})["file:1/model.json"])
    assert arguments == {
        "model": f"/artifacts/bases/{SETTINGS.base_digest}",
        "tokenizer": f"/artifacts/tokenizers/{'f' * 64}",
        "max_num_seqs": 3,
        "dtype": "half",
    }


def test_vllm_is_not_sent_to_an_object_store():
    with pytest.raises(FailedPrecondition, match="host_artifact_root"):
        vllm_files(replace(SETTINGS, artifact_root="s3://bucket/prefix"), "f" * 64, {})
