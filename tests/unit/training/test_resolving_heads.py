"""A head is held against the labels of the datasets, before anything is queued."""

from dataclasses import replace
from typing import Any

import pytest

from support.registry import tiny_spec
from symbiont.common.errors import InvalidArgument
from symbiont.training.data.rows import LabelKind
from symbiont.training.resolving_heads import KINDS, check_metric, resolve_fields, resolve_head
from symbiont.training.spec import ClassificationHead, MaskedTokensHead
from symbiont.training.types import Dataset

ROWS = Dataset("rows", "CSV", "text", "label", 9, 9, (("a", 4), ("b", 5)), "d")
PAIRS = replace(ROWS, pair_column="pair")


def resolved(dataset: Dataset, judged_by: Dataset | None = None, **spec: Any) -> tuple[str, Any]:
    return resolve_head(tiny_spec(**spec), 32, dataset, judged_by, "spec")


@pytest.mark.parametrize(
    ("kind", "head"),
    [
        ("CLASS", "classification"),
        ("CLASSES", "multi_label"),
        ("NUMBER", "score"),
        ("ENTITIES", "entities"),
        ("ANSWERS", "spans"),
        ("NONE", "embedding"),
    ],
)
def test_the_labels_say_what_is_usual(kind: str, head: str) -> None:
    dataset = ROWS if kind == "ENTITIES" else PAIRS
    name, settings = resolved(replace(dataset, label_kind=kind))
    assert name == head
    assert getattr(settings, "labels", ("a", "b")) == ("a", "b")


def test_a_head_that_does_not_learn_from_such_labels_is_refused() -> None:
    for head, kinds in KINDS.items():
        for kind in {kind for other in KINDS.values() for kind in other} - set(kinds):
            with pytest.raises(InvalidArgument, match=rf"^spec\.{head}: it learns from labels of the kind"):
                resolved(replace(PAIRS, label_kind=kind), **{head: {}})


@pytest.mark.parametrize("kind", LabelKind)
def test_a_base_learns_from_rows_with_whatever_labels(kind: str) -> None:
    base: dict[str, Any] = {"model": None, "derived_base": "bases/own"}
    single = replace(ROWS, label_kind=kind, label_counts=(("a", 1), ("b", 8)))
    name, settings = resolved(single, **base)
    assert (name, settings) == ("masked_tokens", MaskedTokensHead())
    assert resolved(single, replace(PAIRS, label_kind="NUMBER"), **base)[0] == "masked_tokens"
    with pytest.raises(InvalidArgument, match=r"^spec\.holdout_fraction: datasets/rows has one row"):
        resolved(replace(single, row_count=1), **base)
    assert check_metric("masked_tokens", settings, "accuracy", single, "field") == "accuracy"
    for more in ({"business_fields": {}}, {"hidden_layers": [8]}):
        with pytest.raises(InvalidArgument, match="the head masked_tokens"):
            resolve_fields(tiny_spec(**base, **more), "masked_tokens", single, None, "spec")


def test_two_texts_where_they_are_needed() -> None:
    for head, kind in (("spans", "ANSWERS"), ("embedding", "NONE"), ("embedding", "NUMBER")):
        with pytest.raises(InvalidArgument, match=rf"^spec\.{head}: it learns from two texts"):
            resolved(replace(ROWS, label_kind=kind), **{head: {}})
    with pytest.raises(InvalidArgument, match=r"^spec\.entities: it names parts of one text"):
        resolved(replace(PAIRS, label_kind="ENTITIES"))


def test_both_datasets_are_of_one_kind() -> None:
    with pytest.raises(InvalidArgument, match=r"^spec\.evaluation_dataset: its labels are of the kind NUMBER"):
        resolved(ROWS, replace(ROWS, label_kind="NUMBER"))
    with pytest.raises(InvalidArgument, match=r"^spec\.evaluation_dataset: its rows have two texts"):
        resolved(ROWS, PAIRS)


def test_numbers_are_between_the_limits() -> None:
    numbers = replace(ROWS, label_kind="NUMBER", label_range=(0.0, 5.0), label_counts=())
    assert resolved(numbers, score={"minimum": 0, "maximum": 5})[0] == "score"
    with pytest.raises(InvalidArgument, match=r"^spec\.score: datasets/rows has labels from 0 to 5"):
        resolved(numbers, score={"minimum": 0, "maximum": 4})
    with pytest.raises(InvalidArgument, match="go together"):
        resolved(numbers, score={"minimum": 0})
    with pytest.raises(InvalidArgument, match="is not above minimum"):
        resolved(numbers, score={"minimum": 4, "maximum": 4})


def test_a_vector_has_a_layer_where_the_base_is_left_as_it_is() -> None:
    pairs = replace(PAIRS, label_kind="NONE", label_counts=())
    assert resolved(pairs)[1].size == 0
    assert resolved(pairs, head_only={})[1].size == 32
    assert resolved(pairs, embedding={"size": 8})[1].size == 8
    with pytest.raises(InvalidArgument, match=r"^spec\.embedding\.size: without a layer"):
        resolved(pairs, head_only={}, embedding={"size": 0})


WITH_FIELDS = replace(ROWS, fields=(("amount", "NUMBER"), ("purpose", "CATEGORY")))


def fields(dataset: Dataset, judged_by: Dataset | None = None, head: str = "classification", **spec: Any) -> Any:
    return resolve_fields(tiny_spec(**spec), head, dataset, judged_by, "spec")


def test_business_fields_get_their_kinds() -> None:
    assert fields(WITH_FIELDS) is None
    everything = fields(WITH_FIELDS, business_fields={})
    assert everything.names == ("amount", "purpose")
    assert everything.kinds == ("FIELD_KIND_NUMBER", "FIELD_KIND_CATEGORY")
    one = fields(WITH_FIELDS, business_fields={"names": ["purpose"], "fusion": "FUSION_GATED", "kinds": ["what"]})
    assert (one.names, one.kinds, one.fusion) == (("purpose",), ("FIELD_KIND_CATEGORY",), "FUSION_GATED")


def test_business_fields_that_are_not_there_are_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"^spec\.business_fields\.names\[1\]: datasets/rows has no field 'age'"):
        fields(WITH_FIELDS, business_fields={"names": ["amount", "age"]})
    with pytest.raises(InvalidArgument, match=r"^spec\.business_fields: datasets/rows has none"):
        fields(ROWS, business_fields={})
    with pytest.raises(InvalidArgument, match=r"^spec\.evaluation_dataset: it has no field 'purpose'"):
        fields(WITH_FIELDS, replace(WITH_FIELDS, fields=WITH_FIELDS.fields[:1]), business_fields={})
    with pytest.raises(InvalidArgument, match=r"^spec\.business_fields: the head entities takes none"):
        fields(WITH_FIELDS, head="entities", business_fields={})
    with pytest.raises(InvalidArgument, match=r"^spec\.hidden_layers: the head spans has none"):
        fields(WITH_FIELDS, head="spans", hidden_layers=[8])
    with pytest.raises(InvalidArgument, match="given twice"):
        fields(WITH_FIELDS, business_fields={"names": ["amount", "amount"]})


def test_checkpoints_are_compared_by_what_is_measured() -> None:
    plain = ClassificationHead(labels=("a", "b"))
    assert check_metric("classification", plain, "", ROWS, "f") == "loss"
    assert check_metric("classification", plain, "macro_f1", ROWS, "f") == "macro_f1"
    assert check_metric("embedding", None, "nearest_accuracy", ROWS, "f") == "nearest_accuracy"
    assert check_metric("classification", plain, "primary", ROWS, "f") == "accuracy"
    assert check_metric("embedding", None, "primary", ROWS, "f") == "nearest_accuracy"
    _, costly = resolved(ROWS, classification={"binary_costs": BINARY})
    assert check_metric("classification", costly, "mean_cost", ROWS, "f") == "mean_cost"
    with pytest.raises(InvalidArgument, match=r"^f: the head classification is not measured by 'mean_cost'"):
        check_metric("classification", plain, "mean_cost", ROWS, "f")
    with pytest.raises(InvalidArgument, match=r"^f: the head score is not measured by 'accuracy': loss, spearman"):
        check_metric("score", None, "accuracy", ROWS, "f")


BINARY = {"positive_label": "b", "false_positive": 1, "false_negative": 20}


def cost(truth: str, answer: str, cost: float) -> dict[str, Any]:
    return {"truth": truth, "answer": answer, "cost": cost}


def test_what_answers_cost_becomes_a_matrix_over_the_labels() -> None:
    _, settings = resolved(ROWS, classification={"binary_costs": BINARY})
    assert settings.costs == ((0, 1), (20, 0))
    three = replace(ROWS, label_counts=(("a", 4), ("b", 5), ("c", 6)))
    asked = {"costs": [cost("a", "c", 7), cost("c", "c", -2)]}
    _, settings = resolved(three, classification={"cost_matrix": asked})
    assert settings.costs == ((0, 1, 7), (1, 0, 1), (1, 1, -2))
    assert resolved(ROWS)[1].costs == ()


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"binary_costs": {**BINARY, "positive_label": "x"}}, r"binary_costs\.positive_label: there is no label 'x'"),
        (
            {"binary_costs": BINARY, "labels": ["a", "b", "c"]},
            r"binary_costs: they are for two labels",
        ),
        (
            {"cost_matrix": {"costs": [cost("a", "b", 2), cost("x", "a", 2)]}},
            r"cost_matrix\.costs\[1\]\.truth",
        ),
        ({"cost_matrix": {"costs": [cost("a", "x", 2)]}}, r"cost_matrix\.costs\[0\]\.answer: there is no label 'x'"),
        (
            {"cost_matrix": {"costs": [cost("a", "b", -2)]}},
            r"cost_matrix\.costs: where 'a' is true",
        ),
    ],
)
def test_costs_that_mean_nothing_are_refused(asked: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidArgument, match=rf"^spec\.classification\.{problem}"):
        resolved(ROWS, classification=asked)


@pytest.mark.parametrize(
    "asked",
    [
        {"binary_costs": {**BINARY, "false_positive": 0}},
        {"cost_matrix": {"costs": []}},
        {"cost_matrix": {"costs": [cost("a", "b", 1), cost("a", "b", 2)]}},
        {"cost_matrix": {"costs": [cost("a", "b", float("inf"))]}},
    ],
)
def test_costs_are_numbers_given_once(asked: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=r"^training_job\.spec\.classification"):
        tiny_spec(classification=asked)


def test_an_embedding_may_have_classes_of_one_row() -> None:
    rare = replace(ROWS, label_counts=(("a", 1), ("b", 8)))
    assert resolved(rare, embedding={})[0] == "embedding"
    with pytest.raises(InvalidArgument, match=r"^spec\.embedding: no label of datasets/rows has two rows"):
        resolved(replace(ROWS, label_counts=(("a", 1), ("b", 1))), embedding={})
    with pytest.raises(InvalidArgument, match="'a' of datasets/rows has one row"):
        resolved(rare)


def test_an_embedding_has_rows_to_compare_on_every_rank() -> None:
    pairs = replace(PAIRS, label_kind="NONE")
    for batch_size, ranks in ((1, 1), (7, 4), (16, 16)):
        sizes = {"hyperparameters": {"batch_size": batch_size, "accumulation_steps": 4}, "ranks": ranks}
        for asked in ({}, {"embedding": {}}):
            with pytest.raises(
                InvalidArgument, match=rf"^spec\.hyperparameters\.batch_size: .* say {2 * ranks} or more"
            ):
                resolved(pairs, **asked, **sizes)
        assert resolved(ROWS, **sizes)[0] == "classification"
    assert resolved(pairs, hyperparameters={"batch_size": 8}, ranks=4)[0] == "embedding"


@pytest.mark.parametrize("kind", LabelKind)
def test_of_one_row_nothing_can_be_held_out(kind: str) -> None:
    one = replace(ROWS if kind == "ENTITIES" else PAIRS, label_kind=kind, row_count=1, label_counts=(("a", 1),))
    with pytest.raises(InvalidArgument, match=r"^spec\.holdout_fraction: datasets/rows has one row"):
        resolved(one)
    # Another dataset judges, or the rows that have judged the version before.
    assert resolved(one, one)
    if kind != "CLASS":
        assert resolved(one, start_from="models/mood/versions/1")
