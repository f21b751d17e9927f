import json

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, PrefixTuningConfig, TaskType, get_peft_model
from transformers import AutoModel, BertConfig, BertForSequenceClassification

from support.bundles import random_bundle, random_rows, tiny_base
from symbiont.bundle import PrefixMethod, export_peft, import_peft, load_bundle
from symbiont.bundle.peft import CONFIG
from symbiont.bundle.tensors import prefix_layers
from symbiont.common.errors import FailedPrecondition, InvalidArgument


@pytest.fixture
def base(store):
    return tiny_base(store)


TARGETED = [{}, {"rslora": True}, {"adalora": True}]
KINDS = [*TARGETED, {"prefix": 5}]


# PEFT takes AdaLoRA's pattern, which its own files have too, for LoRA's.
@pytest.mark.filterwarnings("ignore:The following rank_pattern keys did not match")
@pytest.mark.parametrize("kind", KINDS)
def test_peft_loads_what_is_exported(store, base, tmp_path, kind):
    digest, reference = random_bundle(store, base, target_modules=("query", "dense"), **kind)
    export_peft(store, digest, tmp_path / "peft")
    model = PeftModel.from_pretrained(AutoModel.from_pretrained(store.path("bases", base)), tmp_path / "peft").eval()
    for row in random_rows(4):
        ids = torch.tensor(row).long()[None]
        with torch.no_grad():
            ours = reference.encoder(input_ids=ids).last_hidden_state
            theirs = model(input_ids=ids).last_hidden_state
        torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", TARGETED)
def test_what_is_exported_can_be_imported(store, base, tmp_path, kind):
    digest, _ = random_bundle(store, base, **kind)
    export_peft(store, digest, tmp_path)
    imported, bundle = import_peft(tmp_path), load_bundle(store, digest)
    # The modules are exported by their full names.
    modules = {f"encoder.layer.{n}.attention.self.{part}" for n in range(2) for part in ("query", "value")}
    assert set(imported.method.target_modules) == modules
    assert imported.method.model_copy(update={"target_modules": bundle.manifest.method.target_modules}) == (
        bundle.manifest.method
    )
    assert imported.head is None
    assert imported.adapter.keys() == bundle.adapter.keys()
    for key, value in bundle.adapter.items():
        np.testing.assert_array_equal(imported.adapter[key], value)


def test_an_exported_prefix_can_be_imported(store, base, tmp_path):
    digest, _ = random_bundle(store, base, prefix=5)
    export_peft(store, digest, tmp_path)
    imported, bundle = import_peft(tmp_path), load_bundle(store, digest)
    assert imported.method == bundle.manifest.method
    np.testing.assert_array_equal(imported.adapter["prompt_embeddings"], bundle.adapter["prompt_embeddings"])


@pytest.mark.parametrize("projection", [False, True])
def test_a_classifier_with_a_prefix_brings_its_head(tmp_path, projection):
    """PEFT saves a projected prefix as what the projection gives."""
    config = BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=3, num_attention_heads=2, intermediate_size=8, num_labels=5
    )
    prefix = PrefixTuningConfig(
        task_type=TaskType.SEQ_CLS, num_virtual_tokens=4, prefix_projection=projection, encoder_hidden_size=6
    )
    model = get_peft_model(BertForSequenceClassification(config), prefix)
    model.save_pretrained(tmp_path)
    imported = import_peft(tmp_path, strip_prefix="bert.")
    assert imported.method == PrefixMethod(virtual_tokens=4)
    assert imported.head is not None
    assert imported.head["weight"].shape == (5, 8)
    assert set(imported.adapter) == {"prompt_embeddings"}
    keys_and_values = model.get_prompt(1)
    layers = prefix_layers(imported.adapter, 8)
    for number, layer in enumerate(keys_and_values.layers):
        for half, expected in ((0, layer.keys), (1, layer.values)):
            got = layers[2 * number + half].reshape(4, 2, 4).swapaxes(0, 1)
            np.testing.assert_allclose(got, expected[0].detach().numpy(), rtol=0, atol=1e-6)


def test_a_classifier_that_peft_trained_brings_its_head(tmp_path):
    config = BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, num_labels=5
    )
    lora = LoraConfig(task_type=TaskType.SEQ_CLS, r=2, lora_alpha=2, target_modules=["query"], init_lora_weights=False)
    get_peft_model(BertForSequenceClassification(config), lora).save_pretrained(tmp_path)
    imported = import_peft(tmp_path, strip_prefix="bert.")
    assert imported.head is not None
    assert {key: value.shape for key, value in imported.head.items()} == {"weight": (5, 8), "bias": (5,)}
    assert set(imported.adapter) == {
        f"base_model.model.encoder.layer.0.attention.self.query.lora_{side}.weight" for side in "AB"
    }


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("peft_type", "IA3"),
        ("use_dora", True),
        ("bias", "all"),
        ("rank_pattern", {"query": 8}),
        ("target_modules", "all-linear"),
    ],
)
def test_what_a_bundle_cannot_express_is_refused_by_name(store, base, tmp_path, option, value):
    export_peft(store, random_bundle(store, base)[0], tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(config | {option: value}))
    with pytest.raises(InvalidArgument) as caught:
        import_peft(tmp_path)
    assert caught.value.field == option


def test_an_empty_folder_is_no_peft_folder(tmp_path):
    with pytest.raises(InvalidArgument, match="no PEFT folder"):
        import_peft(tmp_path)


def test_a_head_alone_has_nothing_for_peft(store, base, tmp_path):
    digest, _ = random_bundle(store, base, rank=0)
    with pytest.raises(FailedPrecondition):
        export_peft(store, digest, tmp_path)
