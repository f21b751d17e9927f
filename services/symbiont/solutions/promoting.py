"""The gate of the alias, its judgement, and how the version takes over."""

from typing import Any

from google.protobuf import json_format

from symbiont.api.training.v1.model_pb2 import RELEASE_STATE_ACTIVE, ReleaseRules
from symbiont.api.training.v1.promotion_pb2 import PromotionDecision, PromotionRule
from symbiont.client import Client
from symbiont.solutions.preparing import Say
from symbiont.solutions.recipe import Recipe
from symbiont.solutions.recipe_evaluation import Gate
from symbiont.solutions.recipe_serving import Release


class NotPromotedError(Exception):
    """The gate keeps a version from its alias; the message has every rule that is broken."""


def promote(client: Client, recipe: Recipe, version: str, rows: str, say: Say) -> PromotionDecision | None:
    """Sets the gate of the recipe, has the version judged by it, and points the alias at it, or begins a release.

    Without rules nothing is judged, and None is returned.

    Args:
        rows: the dataset to judge by.

    Raises:
        NotPromotedError: it has not passed.
    """
    alias, gate = f"{recipe.model}@{recipe.serving.alias}", recipe.evaluation.gate
    rules = rules_of(gate)
    before = client.get_promotion_policy(alias)
    named = rows if rules or gate.approvals else ""
    if (list(before.rules), before.approvals, before.evaluation_dataset) != (rules, gate.approvals, named):
        client.set_promotion_policy(alias, rules, approvals=gate.approvals, evaluation_dataset=named)
    serves = _serving(client, recipe)
    if serves == version:
        say(f"{version} serves already")
        return None
    decision = client.judge(version, recipe.serving.alias) if rules or gate.approvals else None
    if decision and not decision.passed:
        broken = "; ".join(finding.text for finding in decision.findings if not finding.passed)
        raise NotPromotedError(f"{version} may not take over {alias}: {broken}")
    if serves and recipe.serving.release:
        _release(client, alias, version, recipe.serving.release, say)
    else:
        client.promote(version, recipe.serving.alias)
        say(f"{alias} -> {version}")
    return decision


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
