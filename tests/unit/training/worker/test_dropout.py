"""Dropout by bytes is dropout: its shares, its scale, its seed; attention without it is what it was."""

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel

from support.registry import tiny_spec
from symbiont.training.worker.dropout import NAME, WHOLE, Dropout, drop, drop_by_bytes
from symbiont.training.worker.network import build_network


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.97])
def test_a_share_is_dropped_and_the_mean_stays(share: float) -> None:
    torch.manual_seed(0)
    made = drop(torch.ones(101, 1003), share)
    dropped = float((made == 0).float().mean())
    assert dropped == pytest.approx(share, abs=1 / 512 + 0.003)
    assert float(made.mean()) == pytest.approx(1, abs=0.02)
    assert len(made.unique()) == 2


@pytest.mark.parametrize("share", [0.0, 0.001, 1.0])
def test_shares_that_bytes_cannot_have_are_torchs(share: float) -> None:
    torch.manual_seed(0)
    made = drop(torch.ones(64, 64), share)
    torch.manual_seed(0)
    assert torch.equal(made, nn.functional.dropout(torch.ones(64, 64), share))


def test_the_seed_decides_and_every_place_has_its_turn() -> None:
    torch.manual_seed(7)
    one, other = drop(torch.ones(2000, 8), 0.5), drop(torch.ones(2000, 8), 0.5)
    torch.manual_seed(7)
    assert torch.equal(drop(torch.ones(2000, 8), 0.5), one)
    assert not torch.equal(one, other)
    # Each of the bytes of a word, the highest too.
    assert (one == 0).float().mean(0).tolist() == pytest.approx([0.5] * 8, abs=0.05)


def test_what_is_dropped_gets_no_gradient() -> None:
    values = torch.ones(50, 50, requires_grad=True)
    made = drop(values, 0.25)
    made.sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad == 0, made == 0)
    assert float(values.grad.max()) == pytest.approx(256 / 192)


def bert(dropout: float, hidden: float = 0.0) -> BertModel:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    shares = {"hidden_dropout_prob": hidden, "attention_probs_dropout_prob": dropout}
    return BertModel(BertConfig(vocab_size=64, **sizes, **shares), add_pooling_layer=False)


def answer(model: BertModel) -> torch.Tensor:
    ids = torch.arange(24).reshape(2, 12)
    mask = torch.ones(2, 12, dtype=torch.int64)
    mask[1, 7:] = 0
    seen: torch.Tensor = model(input_ids=ids, attention_mask=mask).last_hidden_state
    return seen[mask.bool()]


def test_a_base_that_judges_is_what_it_was() -> None:
    plain, changed = bert(0.1).eval(), bert(0.1).eval()
    drop_by_bytes(changed, attention=True)
    assert changed.config._attn_implementation == NAME
    assert torch.equal(answer(plain), answer(changed))


def test_attention_that_drops_has_the_mean_of_one_that_does_not() -> None:
    model = bert(0.1)
    drop_by_bytes(model, attention=True)
    assert any(isinstance(module, Dropout) for module in model.modules())
    with torch.no_grad():
        wanted = answer(model.eval())
        many = torch.stack([answer(model.train()) for _ in range(400)])
    assert float(many.std(0).max()) > 0
    assert float((many.mean(0) - wanted).abs().max()) < 0.05


def test_a_row_does_not_see_what_fills_it_up() -> None:
    model = bert(0.5)
    drop_by_bytes(model, attention=True)
    ids = torch.arange(24).reshape(2, 12)
    mask = torch.ones(2, 12, dtype=torch.int64)
    mask[1, 7:] = 0
    torch.manual_seed(1)
    one = model(input_ids=ids, attention_mask=mask).last_hidden_state
    ids[1, 7:] = 3
    torch.manual_seed(1)
    other = model(input_ids=ids, attention_mask=mask).last_hidden_state
    assert torch.equal(one[1, :7], other[1, :7])


def test_frozen_attention_is_whole_where_layers_still_drop() -> None:
    model, layers = bert(0.5), bert(0.5, hidden=0.1)
    wanted = answer(model.eval())
    drop_by_bytes(model, attention=False)
    drop_by_bytes(layers, attention=False)
    assert model.config._attn_implementation == WHOLE
    assert torch.equal(answer(model.train()), wanted)
    assert not torch.equal(answer(layers.train()), wanted)


LAYERS = {"target_modules": ["query"]}


@pytest.mark.parametrize(
    ("method", "settings", "name"),
    [("lora", {**LAYERS, "alpha": 16}, WHOLE), ("houlsby", LAYERS, WHOLE), ("prefix", {}, WHOLE), ("full", {}, NAME)],
)
def test_who_trains_attention_lets_it_drop(
    method: str, settings: dict[str, object], name: str, tiny_base: Path
) -> None:
    spec = tiny_spec(classification={"labels": ["no", "yes"]}, **{method: settings})
    network = build_network(spec, tiny_base, "mean")
    assert network.base.config._attn_implementation == name
