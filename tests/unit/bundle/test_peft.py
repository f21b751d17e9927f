import json

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from transformers import AutoModel, BertConfig, BertForSequenceClassification

from support.bundles import random_bundle, random_rows, tiny_base
from symbiont.bundle import export_peft, import_peft, load_bundle
from symbiont.bundle.peft import CONFIG
from symbiont.common.errors import FailedPrecondition, InvalidArgument


@pytest.fixture
def base(store):
    return tiny_base(store)


KINDS = [{}, {"rslora": True}, {"adalora": True}]


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


@pytest.mark.parametrize("kind", KINDS)
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
        ("peft_type", "PREFIX_TUNING"),
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
