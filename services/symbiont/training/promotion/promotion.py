"""The gate of an alias as callers see it: set, judged by, approved."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import asdict, replace

from pydantic import ValidationError

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.encryption import tenant_of
from symbiont.common.errors import FailedPrecondition, InvalidArgument, NotFound
from symbiont.common.log import get_logger
from symbiont.evaluation import Gate
from symbiont.training.judging.judging import Judging
from symbiont.training.judging.work import Contender, Judged, Order
from symbiont.training.models import PRODUCTION, check_bundle
from symbiont.training.promotion.types import Decision, DecisionKind, Finding, JudgementStage, Policy
from symbiont.training.spec import explain
from symbiont.training.store import Store
from symbiont.training.types import ModelVersion

MOST_RULES, MOST_APPROVALS = 32, 5
LONGEST_COMMENT = 1000


class Promotion:
    """Policies and what is decided by them."""

    def __init__(self, store: Store, artifacts: ArtifactStore, judging: Judging, tokenization_address: str) -> None:
        self._store = store
        self._artifacts = artifacts
        self._judging = judging
        self._tokenization = tokenization_address

    async def set_policy(self, model: str, alias: str, policy: Policy) -> Policy:
        """Sets the gate of an alias.

        Raises:
            InvalidArgument: a rule or a number is out of its range; the field is under `policy`.
            NotFound: there is no such dataset.
        """
        if len(policy.rules) > MOST_RULES:
            raise InvalidArgument("policy.rules", f"{len(policy.rules)} are over {MOST_RULES}")
        if not 0 <= policy.approvals <= MOST_APPROVALS:
            raise InvalidArgument("policy.approvals", f"{policy.approvals} is not from 0 to {MOST_APPROVALS}")
        gate = parse_rules(policy.rules)
        if policy.evaluation_dataset:
            try:
                await asyncio.to_thread(self._store.dataset, policy.evaluation_dataset)
            except NotFound as exc:
                raise NotFound(str(exc).removeprefix("name: "), field="policy.evaluation_dataset") from exc
        checked = replace(policy, rules=tuple(rule.model_dump(mode="json") for rule in gate.rules))
        return await asyncio.to_thread(self._store.set_policy, model, alias, checked)

    async def policy(self, model: str, alias: str) -> Policy:
        """Returns the gate of an alias; an empty one where it has none."""
        return await asyncio.to_thread(self._store.policy, model, alias)

    async def judge(
        self, model: str, number: int, alias: str, principal: str
    ) -> AsyncGenerator[JudgementStage | Decision]:
        """Yields each stage as it begins, and at last the decision, which is on record by then.

        Raises:
            NotFound: no such version.
            FailedPrecondition: the two cannot be judged; the message says why.
        """
        alias = alias or PRODUCTION
        policy, incumbent, order = await asyncio.to_thread(self._order, model, number, alias)
        async with aclosing(self._judging.judge(order)) as work:
            async for said in work:
                if isinstance(said, JudgementStage):
                    yield said
                    continue
                decision = _decision(model, alias, number, incumbent, principal, policy, said)
                recorded = await asyncio.to_thread(self._store.record, decision)
                get_logger().info("judged", version=f"{model}/{number}", alias=alias, passed=recorded.passed)
                yield recorded

    async def approve(self, model: str, number: int, alias: str, principal: str, comment: str) -> Decision:
        """Records that somebody approves a version.

        Raises:
            NotFound: no such version.
            FailedPrecondition: nobody says who approves, the version has not passed, or who approves has trained it.
        """
        if not principal:
            problem = "say who approves, by the metadata symbiont-principal: an approval is a person's"
            raise FailedPrecondition(problem, reason="PRINCIPAL_UNKNOWN")
        if len(comment) > LONGEST_COMMENT:
            raise InvalidArgument("comment", f"it has {len(comment)} characters, at most {LONGEST_COMMENT} are kept")

        def add() -> Decision:
            self._store.version(model, number)
            return self._store.approve(model, alias or PRODUCTION, number, principal, comment)

        return await asyncio.to_thread(add)

    async def decisions(self, model: str, alias: str) -> Sequence[Decision]:
        """Returns what was decided on an alias, on all of a model where it is empty, newest first."""
        return await asyncio.to_thread(self._store.decisions, model, alias)

    def _order(self, model: str, number: int, alias: str) -> tuple[Policy, int, Order]:
        candidate, policy = self._store.version(model, number), self._store.policy(model, alias)
        incumbent = next((a.version for a in self._store.aliases_of(model) if a.alias == alias), None)
        if incumbent and incumbent.number == number:
            problem = f"models/{model}/aliases/{alias} points at version {number} already: there is nothing to judge"
            raise FailedPrecondition(problem, reason="ALREADY_SERVES")
        for version in filter(None, (candidate, incumbent)):
            check_bundle(self._artifacts, version)
        digest = self._store.dataset(policy.evaluation_dataset).digest if policy.evaluation_dataset else ""
        order = Order(
            artifact_root=str(self._artifacts.root),
            tenant=tenant_of(candidate.name),
            tokenization_address=self._tokenization,
            candidate=self._contender(candidate),
            incumbent=self._contender(incumbent) if incumbent else None,
            dataset_digest=digest,
            rules=policy.rules,
        )
        return policy, incumbent.number if incumbent else 0, order

    def _contender(self, version: ModelVersion) -> Contender:
        job = self._store.job(version.job)
        return Contender(
            name=version.name,
            bundle_digest=version.bundle_digest,
            base_digest=version.base_digest,
            tokenizer_digest=version.tokenizer_digest,
            spec=job.spec.model_dump(mode="json", exclude_none=True),
            inputs=asdict(job.inputs),
        )


def parse_rules(rules: Sequence[dict[str, object]]) -> Gate:
    """Returns the gate that rules in JSON are; InvalidArgument names the first one at fault, under `policy.rules`."""
    try:
        return Gate.model_validate({"rules": rules})
    except ValidationError as exc:
        first = exc.errors()[0]
        # ("rules", number, kind, field)
        _, number, *rest = first["loc"]
        path = "".join(f".{part}" for part in rest)
        raise InvalidArgument(f"policy.rules[{number}]{path}", explain(first)) from exc


def _decision(
    model: str, alias: str, number: int, incumbent: int, principal: str, policy: Policy, judged: Judged
) -> Decision:
    return Decision(
        model=model,
        alias=alias,
        kind=DecisionKind.JUDGED,
        version=number,
        incumbent=incumbent,
        principal=principal,
        policy_revision=policy.revision,
        passed=judged.passed,
        findings=tuple(Finding(*finding) for finding in judged.findings),
        evaluation_digest=judged.evaluation_digest,
        row_count=judged.row_count,
        seen_by_incumbent=judged.seen,
    )
