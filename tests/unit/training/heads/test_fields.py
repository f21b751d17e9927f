"""Business fields as a head gets them, and the layers that take them: what is trained is what is served."""

import numpy as np
import pytest
import torch

from symbiont.bundle import CategoryField, DateField, FlagField, NumberField, ScoreHead
from symbiont.bundle.heads import shapes
from symbiont.engine.heads import apply_heads, expit, head_of
from symbiont.training.data.rows import Row
from symbiont.training.heads.fields import MOST_CATEGORIES, encode_fields, fit_fields
from symbiont.training.heads.layers import HeadLayers, tensors_of

KINDS = [(name, f"FIELD_KIND_{name.upper()}") for name in ("number", "flag", "category", "date")]


def row(**fields: object) -> Row:
    return Row("x", "y", fields=fields)  # type: ignore[arg-type]  # values of fields


def test_fields_are_scaled_by_what_the_rows_have() -> None:
    rows = [row(number=1.0, category="b", date="1970-01-02"), row(number=3.0, flag=True, category="a"), row()]
    fields = fit_fields(KINDS, rows)
    assert fields == (
        NumberField(name="number", mean=2.0, deviation=1.0),
        FlagField(name="flag"),
        CategoryField(name="category", values=("a", "b")),
        DateField(name="date", mean=1.0, deviation=1.0),
    )
    assert encode_fields(fields, row(number=4.0, flag=False, category="b")).tolist() == [2, 0, 0, 0, 0, 1, 0, 0, 0, 1]
    assert encode_fields(fields, row(category="new")).tolist() == [0, 1, 0, 1, 0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize("count", [10, 50, 1000])
def test_a_field_that_is_always_the_same_is_not_scaled(count: int) -> None:
    rows = [row(number=0.1, date="2026-03-01T10:20:00+08:00")] * count
    number, date = fit_fields(KINDS, rows)
    assert number == NumberField(name="number", mean=0.1, deviation=1.0)
    assert number.encode(0.1) == (0.0, 0.0)
    assert date.encode("2026-03-02T10:20:00+08:00")[0] == 1.0  # type: ignore[arg-type]  # of a date


def test_a_field_that_no_row_has_is_left_out() -> None:
    assert fit_fields(KINDS, [row(flag=True)]) == (FlagField(name="flag"),)


def test_of_many_categories_the_frequent_ones_are_known() -> None:
    rows = [row(category=f"c{i:03}") for i in range(MOST_CATEGORIES + 9)] + [row(category="c264")]
    (field,) = fit_fields([("category", "FIELD_KIND_CATEGORY")], rows)
    assert isinstance(field, CategoryField)
    assert len(field.values) == MOST_CATEGORIES
    assert "c264" in field.values
    assert field.values == tuple(sorted(field.values))


def test_december_is_near_january() -> None:
    field = DateField(name="date", mean=0.0, deviation=365.25)
    december, january, july = (np.array(field.encode(day)[1:3]) for day in ("2025-12-31", "2026-01-01", "2026-07-01"))
    assert np.abs(december - january).max() < 0.03
    assert np.abs(december - july).max() > 1.5
    assert field.encode("1971-01-01T12:00:00")[0] == pytest.approx(365.5 / 365.25)
    assert field.encode("1971-01-01T12:00:00+12:00")[0] == pytest.approx(365 / 365.25)
    with pytest.raises(ValueError, match="Invalid isoformat"):
        field.encode("soon")


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("hidden", [(), (5,), (7, 3), (4,) * 4])
@pytest.mark.parametrize("features", [0, 2])
def test_what_is_served_is_what_was_trained(gated: bool, hidden: tuple[int, ...], features: int) -> None:
    gated = gated and features > 0
    torch.manual_seed(0)
    module = HeadLayers(6, 1, features=features, gated=gated, hidden=hidden).eval()
    tensors = {name: tensor.detach().numpy() for name, tensor in tensors_of(module).items()}
    entry = ScoreHead(pooling="mean", hidden_size=6, fusion="gated" if gated else "concatenated", hidden_layers=hidden)
    assert {name: tensor.shape for name, tensor in tensors.items()} == shapes(entry, features)
    inputs, beside = torch.randn(3, 6), torch.randn(3, features)
    expected = module(torch.cat([inputs, beside], 1)).detach().numpy()
    head = head_of("mean", tensors, features)
    found = apply_heads(list(inputs.numpy()), list(beside.numpy()), [head] * 3)
    np.testing.assert_allclose(np.stack(found), expected, rtol=0, atol=1e-6)


def test_a_gate_that_is_far_open_or_shut_is_no_overflow() -> None:
    with np.errstate(all="raise"):
        values = expit(np.float32([-80.0, 0.0, 80.0]))
    assert values.tolist() == pytest.approx([0.0, 0.5, 1.0])
