"""What keeps a version from an alias, by what is on record."""

from dataclasses import replace

from symbiont.training.promotion.checking import missing
from symbiont.training.promotion.types import Decision, DecisionKind, Finding, Policy

RULES = Policy(rules=({"kind": "not_worse", "margin": 0.0},), revision=3)
BROKEN = Finding("not_worse", False, "accuracy falls")
JUDGED = Decision(
    "mood",
    "production",
    DecisionKind.JUDGED,
    version=2,
    incumbent=1,
    principal="ml",
    policy_revision=3,
    passed=True,
    findings=(Finding("not_worse", True, "accuracy stays"),),
    number=10,
)


def approved(by: str, number: int) -> Decision:
    return replace(JUDGED, kind=DecisionKind.APPROVED, principal=by, findings=(), number=number)


def texts(
    *decisions: Decision, policy: Policy = RULES, version: int = 2, incumbent: int = 1, by: str = "ana"
) -> list[str]:
    return [finding.text for finding in missing(policy, decisions, version, incumbent, by)]


def test_a_judgement_counts_for_its_versions_and_policy_alone() -> None:
    assert texts(JUDGED) == []
    assert "not judged against version 1" in texts()[0]
    assert "not judged against version 4" in texts(JUDGED, incumbent=4)[0]
    assert "points at nothing" in texts(JUDGED, incumbent=0)[0]
    assert "not judged" in texts(JUDGED, version=3)[0]
    assert "not judged" in texts(JUDGED, policy=replace(RULES, revision=4))[0]


def test_the_latest_judgement_counts() -> None:
    failed = replace(JUDGED, passed=False, findings=(BROKEN, *JUDGED.findings), number=11)
    assert texts(JUDGED, failed) == ["accuracy falls"]
    assert texts(failed, replace(JUDGED, number=12)) == []


def test_approvals_are_by_others_and_after_the_judgement() -> None:
    two = replace(RULES, approvals=2)
    assert texts(JUDGED, policy=two) == ["0 of 2 approvals by others than ana are there"]
    assert texts(approved("bo", 9), JUDGED, policy=two)[0].startswith("0 of 2")
    mine = (JUDGED, approved("ana", 11), approved("bo", 12), approved("bo", 13))
    assert texts(*mine, policy=two)[0].startswith("1 of 2")
    assert texts(*mine, approved("cy", 14), policy=two) == []
    assert texts(*mine, policy=two, by="") == ["the policy asks for approvals by others, and nobody says who promotes"]


def test_approvals_alone_need_no_judgement() -> None:
    alone = Policy(approvals=1, revision=3)
    assert texts(policy=alone)[0].startswith("0 of 1")
    assert texts(approved("bo", 1), policy=alone) == []
