"""What the commands of gates, judgements and passports send and show."""

import io
from typing import Any

import pytest
from rich.console import Console

from symbiont.api.training.v1.passport_pb2 import ModelPassport
from symbiont.api.training.v1.promotion_pb2 import PromotionPolicy, PromotionRule
from symbiont.cli.promotion import print_passport
from symbiont.client import Client


@pytest.fixture
def policies(monkeypatch: pytest.MonkeyPatch) -> list[PromotionPolicy]:
    """What `models gate` has set."""
    found: list[PromotionPolicy] = []

    def note(self: Client, alias: str, rules: list[PromotionRule], **more: Any) -> PromotionPolicy:
        found.append(PromotionPolicy(alias="models/m/aliases/production", rules=rules, **more))
        return found[-1]

    monkeypatch.setattr(Client, "set_promotion_policy", note)
    return found


def test_the_metric_is_that_of_every_rule(call: Any, policies: list[PromotionPolicy]) -> None:
    given = ("--floor", "0.8", "--floor", "accuracy=0.7", "--slice-floor", "0.6", "--not-worse", "0.01")
    assert call("models", "gate", "m", "--metric", "macro_f1", *given).status == 0
    rules = {str(rule.WhichOneof("rule")): rule for rule in policies[0].rules if rule.WhichOneof("rule") != "floor"}
    floors = [(rule.floor.metric, rule.floor.value) for rule in policies[0].rules if rule.HasField("floor")]
    assert floors == [("macro_f1", 0.8), ("accuracy", 0.7)]
    assert (rules["slice_floor"].slice_floor.metric, rules["not_worse"].not_worse.metric) == ("macro_f1", "macro_f1")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--open", "--not-worse", "0.01"), "--open: it removes the gate"),
        (("--open", "--approvals", "1"), "--open: it removes the gate"),
        (("--approvals", "0"), "--approvals: without a rule that is no gate"),
        (("--metric", "macro_f1", "--max-ece", "0.03"), "--metric: it is that of rules"),
        (("--floor", "high"), "'high' is not METRIC=BOUND"),
    ],
)
def test_options_that_do_not_go_together_set_nothing(
    call: Any, policies: list[PromotionPolicy], given: tuple[str, ...], said: str
) -> None:
    result = call("models", "gate", "m", *given)
    assert (result.status, said in " ".join(result.err.split())) == (2, True), result.err
    assert policies == []


def test_a_gate_is_removed(call: Any, policies: list[PromotionPolicy]) -> None:
    assert "has no gate" in call("models", "gate", "m", "--open").out
    assert len(policies) == 1


def test_a_passport_shows_what_people_wrote_as_it_is() -> None:
    found, out = ModelPassport(), io.StringIO()
    found.decisions.add(principal="ana", comment="looked at [rows 1-50], see [/wiki/mood]")
    print_passport(Console(file=out, width=200), found)
    assert "ana looked at [rows 1-50], see [/wiki/mood]" in out.getvalue()
