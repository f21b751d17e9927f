"""A spec and the command that makes it again are the same."""

import shlex
from typing import Any

import pytest

from symbiont.api.training.v1.dataset_pb2 import Dataset
from symbiont.cli.command_line import train_command
from symbiont.client import training_spec
from symbiont.client.options import TrainingOptions

SPECS: dict[str, dict[str, Any]] = {
    "plain": {},
    "lora": {
        "method": "lora",
        "rank": 4,
        "alpha": 0.1,
        "dropout": 0.0,
        "target_modules": ["query", "value"],
        "rank_stabilized": True,
        "b_learning_rate_ratio": 16.0,
    },
    "adalora": {"method": "adalora", "rank": 4, "initial_rank": 12, "orthogonality": 0.5},
    "houlsby": {"method": "houlsby", "size": 8, "evaluation_dataset": "held"},
    "prefix": {"method": "prefix", "virtual_tokens": 4, "projection_size": 16},
    "head-only": {"method": "head-only", "holdout_fraction": 0.1},
    "full": {"method": "full", "ranks": 2},
    "classes": {
        "head": "classification",
        "labels": ["a b", "它's"],
        "balanced": True,
        "focal_gamma": 2.0,
        "label_smoothing": 0.1,
    },
    "costs": {"head": "classification", "costs": {("bad", "good"): 5.0, ("good", "不好"): 1e-05}},
    "costs of two": {"positive_label": "bad", "false_positive_cost": 0.5, "false_negative_cost": 10.0},
    "many": {"head": "multi-label", "labels": ["a"], "tune_thresholds": True},
    "score": {"head": "score", "minimum": -1.0, "maximum": 1.0},
    "entities": {"head": "entities"},
    "spans": {"head": "spans", "max_answer_tokens": 5, "always_answers": True},
    "spans that may be none": {"head": "spans", "always_answers": False},
    "embedding": {"head": "embedding", "embedding_size": 64, "temperature": 0.1},
    "fields": {"business_fields": ["income", "a b"], "fusion": "gated", "hidden_layers": [32, 16]},
    "all fields": {"business_fields": "all", "fusion": "concatenated"},
    "windows": {"windows": True},
    "own module": {"own_module": "wide", "module_settings": {"size": 16, "name": "it's"}},
    "own module as it is": {"own_module": "wide"},
    "on from a version": {"start_from": "mood/versions/2", "allow_new_labels": True, "accept_changed_labels": True},
    "on from an alias": {"start_from": "mood", "replay": True},
    "on with a share of old rows": {"start_from": "mood@tried", "replay_fraction": 0.25},
    "on with rows of another set": {"start_from": "mood", "replay": "held", "replay_rows": 100},
    "loop": {
        "epochs": 2,
        "batch_size": 8,
        "learning_rate": 1.2345678901234567e-05,
        "weight_decay": 0.0,
        "warmup_fraction": 0.1,
        "max_gradient_norm": 2.0,
        "max_tokens": 64,
        "seed": 0,
        "checkpoint_interval": 7,
        "accumulation_steps": 2,
        "evaluate_checkpoints": False,
        "patience": 3,
        "selection_metric": "primary",
        "keep_best": False,
        "bf16": True,
    },
}


@pytest.mark.parametrize("options", SPECS.values(), ids=SPECS)
def test_the_command_submits_the_same_spec(options: dict[str, Any], call: Any, suite: Any) -> None:
    suite.state.datasets["datasets/rows"] = Dataset(name="datasets/rows")
    spec = training_spec(base_model="tiny", dataset="rows", model="mood", **options)
    first, *arguments = shlex.split(train_command(spec))
    assert first == "symbiont"
    assert call(*arguments).status == 0
    (job,) = suite.state.jobs.values()
    assert job.spec == spec


def test_every_option_of_a_spec_is_in_one_of_these() -> None:
    known = {name for options in SPECS.values() for name in options} | {"base_model", "dataset", "model"}
    # Of the command that adapts a base.
    other = {"derived_base", "mask_fraction", "whole_words", "tokenizer"}
    assert known == set(TrainingOptions.__annotations__) - other
