"""Whether a version may take over an alias, by what is on record."""

from collections.abc import Sequence

from symbiont.training.promotion.types import Decision, DecisionKind, Finding, Policy


def missing(
    policy: Policy, decisions: Sequence[Decision], version: int, incumbent: int, principal: str
) -> list[Finding]:
    """Returns what keeps a version from taking over; nothing where it may.

    Args:
        policy: that is in force.
        decisions: all on this version, oldest first.
        version: its number.
        incumbent: the version that the alias points at, 0 for none.
        principal: who asks for it, empty where that is not known.
    """
    of_now = [d for d in decisions if d.policy_revision == policy.revision and d.incumbent == incumbent]
    judgements = [d for d in of_now if d.kind is DecisionKind.JUDGED and d.version == version]
    if policy.rules and not judgements:
        against = f"against version {incumbent}" if incumbent else "while the alias points at nothing"
        return [_not(f"version {version} was not judged {against} by the policy that is in force: judge it first")]
    if policy.rules and not judgements[-1].passed:
        return [finding for finding in judgements[-1].findings if not finding.passed]
    since = judgements[-1].number if judgements else 0
    return _approvals_missing(policy, [d for d in of_now if d.number > since and d.version == version], principal)


def _approvals_missing(policy: Policy, decisions: Sequence[Decision], principal: str) -> list[Finding]:
    if not policy.approvals:
        return []
    if not principal:
        return [_not("the policy asks for approvals by others, and nobody says who promotes")]
    people = {d.principal for d in decisions if d.kind is DecisionKind.APPROVED and d.principal != principal}
    if len(people) >= policy.approvals:
        return []
    return [_not(f"{len(people)} of {policy.approvals} approvals by others than {principal} are there")]


def _not(text: str) -> Finding:
    return Finding("", False, text)
