"""The gate of the alias, its judgement, and how the version takes over."""

from typing import Any

from google.protobuf import json_format

from symbiont.api.training.v1.model_pb2 import RELEASE_STATE_ACTIVE, ReleaseRules
from symbiont.api.training.v1.promotion_pb2 import DECISION_KIND_JUDGED, PromotionRule
from symbiont.client import Client, FailedPreconditionError
from symbiont.solutions.preparing import Say
from symbiont.solutions.recipe import Recipe
from symbiont.solutions.recipe_evaluation import Gate
from symbiont.solutions.recipe_serving import Release


class NotPromotedError(Exception):
    """The gate keeps a version from its alias; the message has every rule that is broken."""


def promote(client: Client, recipe: Recipe, version: str, rows: str, say: Say) -> None:
    """Sets the gate of the recipe, has the version judged by it, and points the alias at it, or begins a release.

    Without rules nothing is judged.

    Args:
        rows: the dataset to judge by.

    Raises:
        NotPromotedError: it has not passed.
    """
    alias = f"{recipe.model}@{recipe.serving.alias}"
    revision = _set_gate(client, alias, recipe.evaluation.gate, rows)
    serves = _serving(client, recipe)
    if serves == version:
        say(f"{version} serves already")
        return
    if revision:
        _judge(client, alias, version, serves, revision)
    if serves and recipe.serving.release:
        _release(client, alias, version, recipe.serving.release, say)
    else:
        _promote(client, recipe, version)
        say(f"{alias} -> {version}")


def _set_gate(client: Client, alias: str, gate: Gate, rows: str) -> int:
    """Sets the gate unless it is so already; returns its revision, 0 where it asks for nothing."""
    rules, before = rules_of(gate), client.get_promotion_policy(alias)
    asks = bool(rules or gate.approvals)
    named = rows if asks else ""
    same = len(rules) == len(before.rules) and all(map(_is_asked, before.rules, rules))
    if not same or (before.approvals, before.evaluation_dataset) != (gate.approvals, named):
        before = client.set_promotion_policy(alias, rules, approvals=gate.approvals, evaluation_dataset=named)
    return before.revision if asks else 0


def _is_asked(there: PromotionRule, asked: PromotionRule) -> bool:
    """Whether a rule in force is the one that is asked for, to which the service has added its defaults."""
    said = _values(there)
    return all(name in said and said[name] == value for name, value in _values(asked).items())


def _values(rule: PromotionRule) -> dict[str, Any]:
    kind = str(rule.WhichOneof("rule"))
    body = json_format.MessageToDict(getattr(rule, kind), always_print_fields_with_no_presence=True)
    return {f"{kind}.{name}": value for name, value in body.items()}


def _judge(client: Client, alias: str, version: str, serves: str, revision: int) -> None:
    """Has a version judged, unless it has passed already: people who approve it do so by the latest judgement."""
    for one in client.list_promotion_decisions(alias):
        now = (one.kind, one.model_version, one.incumbent, one.policy_revision)
        if one.passed and now == (DECISION_KIND_JUDGED, version, serves, revision):
            return
    decision = client.judge(version, alias.rpartition("@")[2])
    if not decision.passed:
        broken = "; ".join(finding.text for finding in decision.findings if not finding.passed)
        raise NotPromotedError(f"{version} may not take over {alias}: {broken}")


def _promote(client: Client, recipe: Recipe, version: str) -> None:
    """Points the alias at a version; where people must approve it before, says how."""
    alias = recipe.serving.alias
    try:
        client.promote(version, alias)
    except FailedPreconditionError as exc:
        if not recipe.evaluation.gate.approvals:
            raise
        how = f"symbiont models approve {version.removeprefix('models/')} --alias {alias} --principal NAME"
        raise NotPromotedError(f"{exc.message}; somebody else says: {how}; then run this again") from exc


def rules_of(gate: Gate) -> list[PromotionRule]:
    """Returns the rules of a gate as the service takes them."""
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("not_worse", {"margin": gate.not_worse, "metric": gate.metric}),
        ("minimum_gain", {"gain": gate.gain, "metric": gate.metric}),
        ("slice_floor", {"value": gate.slice_floor, "metric": gate.metric}),
        ("no_slice_worse", {"by": gate.slice_worse, "metric": gate.metric}),
        ("no_class_worse", {"by": gate.class_worse}),
        ("calibration_limit", {"value": gate.max_ece}),
        ("latency_limit", {"p99_ms": gate.max_p99_ms}),
    ]
    bodies += [("floor", {"value": bound, "metric": metric}) for metric, bound in gate.floor.items()]
    asked = [(kind, body) for kind, body in bodies if next(iter(body.values())) is not None]
    return [
        json_format.ParseDict({kind: {k: v for k, v in body.items() if v != ""}}, PromotionRule())
        for kind, body in asked
    ]


def _serving(client: Client, recipe: Recipe) -> str:
    aliases = client.get_model(recipe.model).aliases
    return next((one.model_version.name for one in aliases if one.alias == recipe.serving.alias), "")


def _release(client: Client, alias: str, version: str, how: Release, say: Say) -> None:
    tried = next((one for one in client.list_releases(alias) if one.state == RELEASE_STATE_ACTIVE), None)
    if tried and tried.candidate == version:
        say(f"{version} is tried on {alias} already")
        return
    if tried:
        remedy = f"symbiont models release promote {alias}, or: end {alias}"
        raise NotPromotedError(f"{alias} tries {tried.candidate} already: {remedy}; then run this again")
    rules = ReleaseRules(
        max_error_rate_increase=how.max_error_rate,
        max_p99_latency_ratio=how.max_latency_ratio,
        max_label_shift=how.max_label_shift,
        min_samples=how.min_samples,
    )
    client.create_release(alias, version, weight=how.weight, shadow=how.shadow, rules=rules)
    say(f"{version} is tried on {alias}")
