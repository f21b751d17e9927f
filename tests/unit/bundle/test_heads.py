"""Manifests of every task say what they can, and refuse what does not go together."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from symbiont.bundle import BundleManifest, CategoryField, FlagField, NumberField

HIDDEN = 6
HEADS: dict[str, dict[str, Any]] = {
    "classification": {"pooling": "mean", "num_labels": 2},
    "multi_label": {"pooling": "cls", "num_labels": 2, "thresholds": [0.3, 0.7]},
    "score": {"pooling": "mean", "link": "sigmoid", "scale": 5.0, "offset": 1.0},
    "embedding": {"pooling": "mean", "size": 3},
    "entities": {"num_labels": 3},
    "spans": {"max_answer_tokens": 10, "always_answers": True},
}
ONE_THRESHOLD = {"kind": "multi_label", "hidden_size": HIDDEN, "pooling": "cls", "num_labels": 2, "thresholds": [0.5]}
LABELS = {"classification": ["a", "b"], "multi_label": ["a", "b"], "entities": ["O", "B-x", "I-x"]}
OUTPUTS = {"classification": 2, "multi_label": 2, "score": 1, "embedding": 3, "entities": 9, "spans": 6}


def manifest(kind: str, **changes: Any) -> dict[str, Any]:
    fields = {
        "base_digest": "a" * 64,
        "tokenizer_digest": "b" * 64,
        "max_tokens": 8,
        "task": kind,
        "labels": LABELS.get(kind, []),
        "method": {"kind": "none"},
        "head": {"kind": kind, "hidden_size": HIDDEN, **HEADS[kind]},
        "lineage": {
            "job": "jobs/j",
            "training_dataset": "",
            "evaluation_dataset": "",
            "seed": 0,
            "code_version": "0",
        },
        "golden": {"input_ids": [[1, 2, 3]], "logits": [[0.0] * OUTPUTS[kind]]},
    }
    return fields | changes


@pytest.mark.parametrize("task", HEADS)
def test_a_manifest_of_every_task_survives_json(task: str) -> None:
    made = BundleManifest.model_validate(manifest(task))
    assert BundleManifest.model_validate_json(made.model_dump_json(), strict=True) == made
    # Three golden tokens: a head on tokens answers for each.
    assert made.head.outputs * (3 if task in ("entities", "spans") else 1) == OUTPUTS[task]


@pytest.mark.parametrize(
    ("task", "changes", "told"),
    [
        ("classification", {"task": "score"}, "task: is score"),
        ("score", {"labels": ["a"]}, "labels: needs 0"),
        ("entities", {"labels": ["O", "PER", "I-x"]}, "is not a tag"),
        ("multi_label", {"head": ONE_THRESHOLD}, "head.thresholds"),
        ("spans", {"fields": [{"kind": "flag", "name": "x"}]}, "no use for them"),
        ("embedding", {"fields": [{"kind": "flag", "name": "x"}]}, "no use for them"),
        ("score", {"fields": [{"kind": "flag", "name": "x"}]}, "golden.features"),
        ("score", {"fields": [{"kind": "flag", "name": "x"}] * 2}, "two have one name"),
        ("entities", {"golden": {"input_ids": [[1, 2]], "logits": [[0.0] * 5]}}, "every row needs 6"),
        ("spans", {"golden": {"input_ids": [[1]], "logits": [[0.0] * 2], "segment_starts": [0, 1]}}, "segment_starts"),
    ],
)
def test_what_does_not_go_together_is_refused(task: str, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        BundleManifest.model_validate(manifest(task, **changes))


def test_an_embedding_without_a_layer_is_as_long_as_the_hidden_state() -> None:
    head = {"kind": "embedding", "pooling": "mean", "hidden_size": HIDDEN, "size": 0}
    golden = {"input_ids": [[1]], "logits": [[0.0] * HIDDEN]}
    assert BundleManifest.model_validate(manifest("embedding", head=head, golden=golden)).head.outputs == HIDDEN


def test_fields_become_numbers() -> None:
    income = NumberField(name="income", mean=10.0, deviation=4.0)
    region, owner = CategoryField(name="region", values=("n", "s")), FlagField(name="owner")
    assert [*income.encode(12.0), *region.encode("s"), *owner.encode(True)] == [0.5, 0, 0, 1, 1, 0]
    assert [*income.encode(None), *region.encode("x"), *owner.encode(None)] == [0, 1, 0, 0, 0, 1]
    for field in (income, region, owner):
        assert np.shape(field.encode(None)) == (field.width,)
