"""PromotionService."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from typing_extensions import override

from symbiont.api.training.v1 import promotion_pb2 as pb
from symbiont.api.training.v1 import promotion_pb2_grpc as rpc
from symbiont.common.calls import Context
from symbiont.common.pages import page_of
from symbiont.common.principal import current_principal
from symbiont.common.resources import check_id, parse_version_name
from symbiont.training.promotion.convert import (
    decision_to_proto,
    judgement_to_proto,
    policy_from_proto,
    policy_to_proto,
)
from symbiont.training.promotion.promotion import Promotion
from symbiont.training.releases import parse_alias_name


class PromotionServicer(rpc.PromotionServiceServicer):
    """Keeps the gates of aliases, judges, and shows what was decided."""

    def __init__(self, promotion: Promotion) -> None:
        self._promotion = promotion

    @override
    async def SetPromotionPolicy(self, request: pb.SetPromotionPolicyRequest, context: Context) -> pb.PromotionPolicy:
        name = parse_alias_name("policy.alias", request.policy.alias)
        policy = policy_from_proto(request.policy, current_principal().name)
        return policy_to_proto(name.model, name.alias, await self._promotion.set_policy(name.model, name.alias, policy))

    @override
    async def GetPromotionPolicy(self, request: pb.GetPromotionPolicyRequest, context: Context) -> pb.PromotionPolicy:
        name = parse_alias_name("name", request.name)
        return policy_to_proto(name.model, name.alias, await self._promotion.policy(name.model, name.alias))

    @override
    async def JudgeModelVersion(
        self, request: pb.JudgeModelVersionRequest, context: Context
    ) -> AsyncIterator[pb.JudgeModelVersionResponse]:
        model, number = parse_version_name("name", request.name)
        alias = check_id("alias", request.alias) if request.alias else ""
        async with aclosing(self._promotion.judge(model, number, alias, current_principal().name)) as work:
            async for said in work:
                yield judgement_to_proto(said)

    @override
    async def ApproveModelVersion(
        self, request: pb.ApproveModelVersionRequest, context: Context
    ) -> pb.PromotionDecision:
        model, number = parse_version_name("name", request.name)
        alias = check_id("alias", request.alias) if request.alias else ""
        decision = await self._promotion.approve(model, number, alias, current_principal().name, request.comment)
        return decision_to_proto(decision)

    @override
    async def ListPromotionDecisions(
        self, request: pb.ListPromotionDecisionsRequest, context: Context
    ) -> pb.ListPromotionDecisionsResponse:
        parent = parse_alias_name("parent", request.parent, wildcard=True)
        found = await self._promotion.decisions(parent.model, parent.alias)
        # Newest first: the key falls as the number grows.
        items = [(f"{10**10 - d.number:010d}", d) for d in found]
        page, token = page_of(items, request.page_size, request.page_token)
        return pb.ListPromotionDecisionsResponse(decisions=[decision_to_proto(d) for d in page], next_page_token=token)
