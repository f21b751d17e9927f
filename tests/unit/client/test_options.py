"""Keyword arguments become a spec; what is left out stays unset."""

import json
from typing import Any

import pytest

from symbiont.api.training.v1.training_job_pb2 import (
    THRESHOLDS_BEST_F1,
    AdaLoraMethod,
    HoulsbyMethod,
    Hyperparameters,
    LoraMethod,
    MaskedTokensHead,
    PrefixMethod,
    TrainingSpec,
)
from symbiont.client.options import training_spec

NAMES: Any = {"base_model": "b", "dataset": "d", "model": "m"}


def test_defaults_are_left_to_the_service() -> None:
    expected = TrainingSpec(base_model="bases/b", dataset="datasets/d", model="models/m")
    expected.hyperparameters.SetInParent()
    assert training_spec(**NAMES) == expected
    assert training_spec(**NAMES, epochs=None, method=None) == expected


def test_everything_lands_in_its_field() -> None:
    spec = training_spec(
        base_model="bases/b",
        dataset="d",
        model="m",
        evaluation_dataset="held-out",
        rank=4,
        alpha=8,
        dropout=0,
        target_modules=["query"],
        labels=["no", "yes"],
        epochs=2,
        batch_size=32,
        learning_rate=0.01,
        weight_decay=0,
        warmup_fraction=0.1,
        max_gradient_norm=2,
        max_tokens=64,
        seed=0,
        checkpoint_interval=10,
    )
    assert spec.evaluation_dataset == "datasets/held-out"
    assert spec.lora == LoraMethod(rank=4, alpha=8, dropout=0, target_modules=["query"])
    assert spec.lora.HasField("dropout")
    assert list(spec.classification.labels) == ["no", "yes"]
    assert spec.hyperparameters == Hyperparameters(
        epochs=2,
        batch_size=32,
        learning_rate=0.01,
        weight_decay=0,
        warmup_fraction=0.1,
        max_gradient_norm=2,
        max_tokens=64,
        seed=0,
        checkpoint_interval=10,
    )
    assert spec.hyperparameters.HasField("seed")


def test_what_is_decided() -> None:
    head = training_spec(**NAMES, costs={("fraud", "fine"): 20, ("fine", "fraud"): 0.5}).classification
    costs = [(each.truth, each.answer, each.cost) for each in head.cost_matrix.costs]
    assert costs == [("fraud", "fine", 20), ("fine", "fraud", 0.5)]
    two: Any = {"positive_label": "fraud", "false_positive_cost": 1, "false_negative_cost": 20}
    binary = training_spec(**NAMES, **two).classification.binary_costs
    assert (binary.positive_label, binary.false_positive, binary.false_negative) == ("fraud", 1, 20)
    with pytest.raises(ValueError, match="exclude each other"):
        training_spec(**NAMES, **two, costs={("fraud", "fine"): 20})
    assert training_spec(**NAMES, head="multi-label", tune_thresholds=True).multi_label.thresholds == THRESHOLDS_BEST_F1
    with pytest.raises(ValueError, match="tune_thresholds does not belong to the head classification"):
        training_spec(**NAMES, head="classification", tune_thresholds=True)


def test_a_module_has_its_settings_as_json() -> None:
    made = training_spec(**NAMES, own_module="crossed", module_settings={"size": 8, "名": True}).own_module
    assert (made.name, json.loads(made.settings)) == ("crossed", {"size": 8, "名": True})
    assert training_spec(**NAMES, own_module="crossed").own_module.settings == ""
    assert not training_spec(**NAMES).HasField("own_module")
    with pytest.raises(ValueError, match="module_settings are those of an own_module"):
        training_spec(**NAMES, module_settings={"size": 8})


def test_methods() -> None:
    assert training_spec(**NAMES, method="lora").WhichOneof("method") == "lora"
    assert training_spec(**NAMES, method="head-only").WhichOneof("method") == "head_only"
    with pytest.raises(ValueError, match="head-only"):
        training_spec(**NAMES, method="head-only", rank=4)
    with pytest.raises(ValueError, match="head_only"):
        training_spec(**NAMES, method="head_only")  # type: ignore[typeddict-item]
    with pytest.raises(ValueError, match="rank does not belong to the method houlsby, which takes size, target_mod"):
        training_spec(**NAMES, method="houlsby", rank=4)
    assert training_spec(**NAMES, rank=4).lora.rank == 4
    adalora = training_spec(**NAMES, method="adalora", rank=4, initial_rank=9, alpha=2, orthogonality=0).adalora
    assert adalora == AdaLoraMethod(rank=4, initial_rank=9, alpha=2, orthogonality=0)
    houlsby = training_spec(**NAMES, method="houlsby", size=16, target_modules=["lin2"]).houlsby
    assert houlsby == HoulsbyMethod(size=16, target_modules=["lin2"])
    prefix = training_spec(**NAMES, method="prefix", virtual_tokens=5, projection_size=64).prefix
    assert prefix == PrefixMethod(virtual_tokens=5, projection_size=64)
    assert training_spec(**NAMES, method="prefix").prefix == PrefixMethod()
    plus = training_spec(**NAMES, rank_stabilized=True, b_learning_rate_ratio=16).lora
    assert plus == LoraMethod(rank_stabilized=True, b_learning_rate_ratio=16)


def test_a_base_to_be_made() -> None:
    base: Any = {"base_model": "b", "dataset": "d", "derived_base": "own"}
    spec = training_spec(**base)
    assert (spec.derived_base, spec.model, spec.WhichOneof("head")) == ("bases/own", "", None)
    masked = training_spec(**base, tokenizer="law", mask_fraction=0.2, whole_words=True).masked_tokens
    assert masked == MaskedTokensHead(tokenizer="tokenizers/law", mask_fraction=0.2, whole_words=True)
    assert training_spec(**base, epochs=0).hyperparameters.HasField("epochs")
    with pytest.raises(ValueError, match="name one of the two"):
        training_spec(**base, model="m")
    with pytest.raises(ValueError, match="name one of the two"):
        training_spec(base_model="b", dataset="d")
    with pytest.raises(ValueError, match="labels does not belong to the head masked-tokens"):
        training_spec(**base, head="masked-tokens", labels=["a"])


def test_one_way_to_judge() -> None:
    assert training_spec(**NAMES, holdout_fraction=0.3).holdout_fraction == 0.3
    with pytest.raises(ValueError, match="exclude"):
        training_spec(**NAMES, holdout_fraction=0.3, evaluation_dataset="d2")
