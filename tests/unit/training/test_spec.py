"""Specs: defaults, ranges, and errors that name the field."""

import math

import pytest

from symbiont.common.errors import InvalidArgument
from symbiont.training.spec import HEADS, TrainingSpec, parse_spec

VALID = {"base_model": "bases/tiny", "dataset": "datasets/rows", "model": "models/mood"}


def test_defaults_are_filled_in() -> None:
    spec = parse_spec(VALID, "spec")
    assert spec.lora is not None
    assert (spec.lora.rank, spec.holdout_fraction, spec.hyperparameters.epochs) == (8, 0.2, 3)
    # What follows from base and datasets is filled in when these are known.
    assert all(getattr(spec, head) is None for head in HEADS)
    assert spec.hyperparameters.learning_rate is None
    assert spec.head_only is None


def test_a_spec_survives_its_own_json() -> None:
    spec = parse_spec({**VALID, "head_only": {}, "evaluation_dataset": "datasets/other"}, "spec")
    assert spec.lora is None
    assert spec.holdout_fraction is None
    assert TrainingSpec.model_validate(spec.model_dump(mode="json", exclude_none=True)) == spec


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"base_model": ""}, "spec.base_model"),
        ({"base_model": "tiny"}, "spec.base_model"),
        ({"base_model": "bases/../etc"}, "spec.base_model"),
        ({"dataset": "datasets/Rows"}, "spec.dataset"),
        ({"evaluation_dataset": "rows"}, "spec.evaluation_dataset"),
        ({"model": "models/" + "x" * 64}, "spec.model"),
        ({"holdout_fraction": 0.0}, "spec.holdout_fraction"),
        ({"holdout_fraction": 0.51}, "spec.holdout_fraction"),
        ({"holdout_fraction": "NaN"}, "spec.holdout_fraction"),
        ({"lora": {"rank": 0}}, "spec.lora.rank"),
        ({"lora": {"rank": -8}}, "spec.lora.rank"),
        ({"lora": {"rank": 257}}, "spec.lora.rank"),
        ({"lora": {"alpha": math.nan}}, "spec.lora.alpha"),
        ({"lora": {"alpha": 0}}, "spec.lora.alpha"),
        ({"lora": {"dropout": 1.0}}, "spec.lora.dropout"),
        ({"lora": {"dropout": -0.1}}, "spec.lora.dropout"),
        ({"lora": {"b_learning_rate_ratio": 0.5}}, "spec.lora.b_learning_rate_ratio"),
        ({"adalora": {"rank": 0}}, "spec.adalora.rank"),
        ({"adalora": {"initial_rank": 513}}, "spec.adalora.initial_rank"),
        ({"adalora": {"rank": 8, "initial_rank": 7}}, "spec.adalora"),
        ({"adalora": {"alpha": -1}}, "spec.adalora.alpha"),
        ({"adalora": {"dropout": 1}}, "spec.adalora.dropout"),
        ({"adalora": {"orthogonality": 11}}, "spec.adalora.orthogonality"),
        ({"houlsby": {"size": 0}}, "spec.houlsby.size"),
        ({"houlsby": {"size": 1025}}, "spec.houlsby.size"),
        ({"prefix": {"virtual_tokens": 0}}, "spec.prefix.virtual_tokens"),
        ({"prefix": {"virtual_tokens": 257}}, "spec.prefix.virtual_tokens"),
        ({"prefix": {"projection_size": 0}}, "spec.prefix.projection_size"),
        ({"classification": {"labels": ["a"]}}, "spec.classification"),
        ({"classification": {"labels": ["a", "a"]}}, "spec.classification"),
        ({"classification": {"labels": ["a", ""]}}, "spec.classification.labels.1"),
        ({"hyperparameters": {"epochs": 0}}, "spec.hyperparameters.epochs"),
        ({"hyperparameters": {"epochs": -1}}, "spec.hyperparameters.epochs"),
        ({"hyperparameters": {"batch_size": 0}}, "spec.hyperparameters.batch_size"),
        ({"hyperparameters": {"learning_rate": "NaN"}}, "spec.hyperparameters.learning_rate"),
        ({"hyperparameters": {"learning_rate": "Infinity"}}, "spec.hyperparameters.learning_rate"),
        ({"hyperparameters": {"learning_rate": -1e-3}}, "spec.hyperparameters.learning_rate"),
        ({"hyperparameters": {"weight_decay": -0.1}}, "spec.hyperparameters.weight_decay"),
        ({"hyperparameters": {"warmup_fraction": 1.5}}, "spec.hyperparameters.warmup_fraction"),
        ({"hyperparameters": {"max_gradient_norm": math.nan}}, "spec.hyperparameters.max_gradient_norm"),
        ({"hyperparameters": {"max_tokens": 4}}, "spec.hyperparameters.max_tokens"),
        ({"hyperparameters": {"checkpoint_interval": 0}}, "spec.hyperparameters.checkpoint_interval"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_field(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_spec({**VALID, **change}, "spec")
    assert caught.value.field == field


def test_every_problem_is_told_at_once() -> None:
    values = {**VALID, "lora": {"rank": 0}, "hyperparameters": {"epochs": -1}}
    with pytest.raises(InvalidArgument, match=r"spec\.lora\.rank: .*; spec\.hyperparameters\.epochs: "):
        parse_spec(values, "spec")


def test_a_missing_field_is_named() -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_spec({"base_model": "bases/tiny", "model": "models/mood"}, "spec")
    assert caught.value.field == "spec.dataset"


BASE = {"base_model": "bases/tiny", "dataset": "datasets/rows", "derived_base": "bases/own"}


def test_a_base_is_made_of_masked_tokens_with_all_of_it_trained() -> None:
    spec = parse_spec(BASE, "spec")
    assert spec.full is not None
    assert spec.masked_tokens is not None
    assert (spec.masked_tokens.mask_fraction, spec.masked_tokens.tokenizer) == (0.15, None)
    assert (spec.output, parse_spec(VALID, "spec").output) == ("bases/own", "models/mood")
    assert TrainingSpec.model_validate(spec.model_dump(mode="json", exclude_none=True)) == spec
    named = {**BASE, "masked_tokens": {"tokenizer": "tokenizers/law"}, "hyperparameters": {"epochs": 0}}
    assert parse_spec(named, "spec").hyperparameters.epochs == 0


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({**BASE, "model": "models/mood"}, "spec.derived_base"),
        ({**BASE, "derived_base": None}, "spec.model"),
        ({**BASE, "derived_base": None, "masked_tokens": {}}, "spec.derived_base"),
        ({**BASE, "derived_base": "own"}, "spec.derived_base"),
        ({**VALID, "masked_tokens": {}}, "spec.model"),
        ({**BASE, "score": {}}, "spec.score"),
        *(({**BASE, method: {}}, f"spec.{method}") for method in ("head_only", "adalora", "houlsby", "prefix")),
        ({**BASE, "hyperparameters": {"epochs": 0}}, "spec.hyperparameters.epochs"),
        ({**BASE, "masked_tokens": {"mask_fraction": 0}}, "spec.masked_tokens.mask_fraction"),
        ({**BASE, "masked_tokens": {"mask_fraction": 0.6}}, "spec.masked_tokens.mask_fraction"),
        ({**BASE, "masked_tokens": {"tokenizer": "law"}}, "spec.masked_tokens.tokenizer"),
    ],
)
def test_what_does_not_go_with_a_base_is_refused(values: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_spec(values, "spec")
    assert caught.value.field == field
