"""What the clients send to set, ask and pass the gate of an alias, and to see where a version comes from."""

import uuid
from collections.abc import Callable, Sequence

from symbiont.api.training.v1.passport_pb2 import GetEvaluationReportRequest, GetModelPassportRequest, ReportFormat
from symbiont.api.training.v1.promotion_pb2 import (
    ApproveModelVersionRequest,
    GetPromotionPolicyRequest,
    JudgementStage,
    JudgeModelVersionRequest,
    ListPromotionDecisionsRequest,
    PromotionPolicy,
    PromotionRule,
    SetPromotionPolicyRequest,
)
from symbiont.api.training.v1.training_job_pb2 import ReproduceModelVersionRequest
from symbiont.client.names import alias_name, full_name

# Told what a judgement is at: `waiting`, `reading`, `candidate`, `incumbent`, `comparing`.
JudgementProgress = Callable[[str], None]


def set_policy(
    model: str, rules: Sequence[PromotionRule], approvals: int, evaluation_dataset: str
) -> SetPromotionPolicyRequest:
    """Sets the gate of an alias, `{model}@{alias}`."""
    dataset = full_name("datasets", evaluation_dataset) if evaluation_dataset else ""
    policy = PromotionPolicy(alias=alias_name(model), rules=rules, approvals=approvals, evaluation_dataset=dataset)
    return SetPromotionPolicyRequest(policy=policy)


def get_policy(model: str) -> GetPromotionPolicyRequest:
    """Asks for the gate of an alias, `{model}@{alias}`."""
    return GetPromotionPolicyRequest(name=alias_name(model))


def judge(model_version: str, alias: str) -> JudgeModelVersionRequest:
    """Has a version judged."""
    return JudgeModelVersionRequest(name=full_name("models", model_version), alias=alias)


def stage_word(stage: int) -> str:
    """Returns what a judgement is at as a word, such as `candidate`."""
    return JudgementStage.Name(stage).removeprefix("JUDGEMENT_STAGE_").lower()  # type: ignore[arg-type]


def approve(model_version: str, alias: str, comment: str) -> ApproveModelVersionRequest:
    """Approves a version."""
    return ApproveModelVersionRequest(name=full_name("models", model_version), alias=alias, comment=comment)


def decisions(model: str) -> ListPromotionDecisionsRequest:
    """Asks for what was decided on an alias, `{model}@{alias}`, or with `{model}@-` on all of a model."""
    return ListPromotionDecisionsRequest(parent=alias_name(model))


def passport(model_version: str) -> GetModelPassportRequest:
    """Asks for the passport of a version."""
    return GetModelPassportRequest(name=full_name("models", model_version))


def report(name: str, language: str, with_texts: bool, *, json: bool = False) -> GetEvaluationReportRequest:
    """Asks for the report of a version or a judgement."""
    format = ReportFormat.REPORT_FORMAT_JSON if json else ReportFormat.REPORT_FORMAT_HTML
    return GetEvaluationReportRequest(
        name=full_name("models", name), format=format, language=language, with_texts=with_texts
    )


def reproduce(model_version: str, request_id: str | None) -> ReproduceModelVersionRequest:
    """Has a version made again."""
    return ReproduceModelVersionRequest(
        name=full_name("models", model_version), request_id=request_id or str(uuid.uuid4())
    )
