"""Messages of promotion to values and back."""

from typing import Any

from google.protobuf import json_format

from symbiont.api.training.v1 import promotion_pb2 as pb
from symbiont.common.errors import InvalidArgument
from symbiont.common.resources import check_id, check_owned_id, parse_name
from symbiont.training.convert import timestamp_to_proto
from symbiont.training.promotion.types import Decision, Finding, JudgementStage, Policy

# Of a rule in JSON, what is not a field of its message.
_NOT_ASKED = ("kind", "calibrated")


def policy_from_proto(message: pb.PromotionPolicy, principal: str) -> Policy:
    """What is asked for; InvalidArgument names the field that is not well-formed."""
    dataset = message.evaluation_dataset
    return Policy(
        rules=tuple(_rule(number, rule) for number, rule in enumerate(message.rules)),
        approvals=message.approvals,
        evaluation_dataset=parse_name("policy.evaluation_dataset", "datasets", dataset) if dataset else "",
        principal=principal,
    )


def _rule(number: int, rule: pb.PromotionRule) -> dict[str, Any]:
    kind = rule.WhichOneof("rule")
    if kind is None:
        raise InvalidArgument(f"policy.rules[{number}]", "set one of its fields")
    asked = json_format.MessageToDict(getattr(rule, kind), preserving_proto_field_name=True)
    # What a message leaves out at 0 the rule may need said.
    needed = {"not_worse": "margin", "floor": "value", "slice_floor": "value", "no_slice_worse": "by"}
    needed |= {"no_class_worse": "by", "calibration_limit": "value", "latency_limit": "p99_ms"}
    zero = {needed[kind]: 0.0} if kind in needed else {}
    return {"kind": kind, **zero, **asked}


def policy_to_proto(model: str, alias: str, policy: Policy) -> pb.PromotionPolicy:
    """A policy as its resource."""
    message = pb.PromotionPolicy(
        alias=f"models/{model}/aliases/{alias}",
        approvals=policy.approvals,
        evaluation_dataset=f"datasets/{policy.evaluation_dataset}" if policy.evaluation_dataset else "",
        revision=policy.revision,
        principal=policy.principal,
        update_time=timestamp_to_proto(policy.update_time) if policy.revision else None,
    )
    for rule in policy.rules:
        values = {name: value for name, value in rule.items() if name not in _NOT_ASKED}
        known = {field.name for field in getattr(pb.PromotionRule(), rule["kind"]).DESCRIPTOR.fields}
        body = {name: value for name, value in values.items() if name in known}
        json_format.ParseDict({rule["kind"]: body}, message.rules.add())
    return message


def decision_to_proto(decision: Decision) -> pb.PromotionDecision:
    """A decision as its resource."""

    def version(number: int) -> str:
        return f"models/{decision.model}/versions/{number}" if number else ""

    return pb.PromotionDecision(
        name=decision.name,
        kind=pb.DecisionKind.Value(f"DECISION_KIND_{decision.kind}"),
        model_version=version(decision.version),
        incumbent=version(decision.incumbent),
        principal=decision.principal,
        time=timestamp_to_proto(decision.time),
        policy_revision=decision.policy_revision,
        passed=decision.passed,
        findings=[_finding_to_proto(finding) for finding in decision.findings],
        evaluation_digest=decision.evaluation_digest,
        row_count=decision.row_count,
        seen_by_incumbent=decision.seen_by_incumbent,
        comment=decision.comment,
    )


def _finding_to_proto(finding: Finding) -> pb.RuleFinding:
    return pb.RuleFinding(rule=finding.rule, passed=finding.passed, text=finding.text, text_zh=finding.text_zh)


def judgement_to_proto(said: JudgementStage | Decision) -> pb.JudgeModelVersionResponse:
    """A stage, or the decision."""
    if isinstance(said, Decision):
        return pb.JudgeModelVersionResponse(decision=decision_to_proto(said))
    return pb.JudgeModelVersionResponse(stage=pb.JudgementStage.Value(f"JUDGEMENT_STAGE_{said}"))


def parse_decision_name(field: str, name: str) -> tuple[str, str, int]:
    """Reads `models/{model}/aliases/{alias}/decisions/{number}`."""
    match name.split("/"):
        case ["models", model, "aliases", alias, "decisions", number] if number.isascii() and number.isdecimal():
            return check_owned_id(field, model), check_id(field, alias), int(number[:10])
    form = "models/{model}/aliases/{alias}/decisions/{number}"
    raise InvalidArgument(field, f"{name[:200]!r} is not of the form {form}")
