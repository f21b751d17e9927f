"""Who is let on, as whom, and what is said to those who are not."""

from typing import Any

import pytest

from symbiont.common.access.access import NOBODY, Access
from symbiont.common.access.views import INSIDE, view_of
from symbiont.common.errors import PermissionDenied, Unauthenticated
from symbiont.common.principal import Principal, Role

GET = "/symbiont.training.v1.ModelService/GetModel"
CREATE = "/symbiont.training.v1.TrainingJobService/CreateTrainingJob"
WATCH = "/symbiont.training.v1.ModelService/WatchModelAliases"
REPORT = "/symbiont.training.v1.WorkerService/Report"
CHECK = "/grpc.health.v1.Health/Check"


class Call:
    def __init__(self, *metadata: tuple[str, str]) -> None:
        self._metadata = metadata

    def invocation_metadata(self) -> Any:
        return self._metadata


class Knows:
    """Knows everybody as one principal, or nobody."""

    def __init__(self, principal: Principal | None) -> None:
        self._principal = principal

    def admit(self, method: str, context: Any) -> Principal:
        if self._principal is None:
            raise Unauthenticated("show a certificate")
        return self._principal


def of(tenant: str, *roles: Role) -> Access:
    return Access(Knows(Principal("ana", tenant, frozenset(roles))))


def test_a_role_of_the_row_is_enough() -> None:
    assert of("bank", Role.VIEWER).admit(GET, Call()).tenant == "bank"
    with pytest.raises(PermissionDenied, match="CreateTrainingJob is for admin, operator, trainer, and ana has viewer"):
        of("bank", Role.VIEWER).admit(CREATE, Call())


def test_what_has_no_row_is_for_nobody() -> None:
    with pytest.raises(PermissionDenied, match="is for nobody"):
        of("", *Role).admit("/symbiont.training.v1.ModelService/Burn", Call())


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.SERVICE])
def test_no_tenant_can_give_the_roles_of_the_installation(role: Role) -> None:
    """Whatever a tenant's identity provider says of its people, they see what is the tenant's."""
    with pytest.raises(PermissionDenied):
        of("bank", role).admit(WATCH, Call())
    both = of("bank", role, Role.VIEWER).admit(GET, Call())
    assert both.roles == {Role.VIEWER}


def test_a_worker_of_a_tenant_is_nothing_else() -> None:
    assert of("bank", Role.WORKER).admit(REPORT, Call()).tenant == "bank"
    with pytest.raises(PermissionDenied):
        of("bank", Role.WORKER, Role.ADMIN).admit(REPORT, Call())


def test_who_says_nothing_may_ask_for_health_and_sees_nothing() -> None:
    nobody = Access(Knows(None))
    assert nobody.admit(CHECK, Call()) is NOBODY
    assert not view_of(NOBODY).sees("")
    with pytest.raises(Unauthenticated):
        nobody.admit(GET, Call())
    with pytest.raises(Unauthenticated):
        nobody.admit(CHECK, Call(("authorization", "Bearer of bad news")))


def test_operators_act_for_a_tenant_and_others_for_their_own() -> None:
    said = Call(("symbiont-tenant", "shop"))
    acting = of("", Role.OPERATOR).admit(GET, said)
    assert (acting.tenant, acting.name) == ("shop", "ana")
    assert not view_of(acting).sees("bank")
    with pytest.raises(PermissionDenied, match="symbiont-tenant"):
        of("bank", Role.VIEWER).admit(GET, said)
    assert of("shop", Role.VIEWER).admit(GET, said).tenant == "shop"
    assert of("", Role.VIEWER).admit(GET, said).tenant == ""


def test_a_part_of_the_suite_names_everything_as_it_is_inside() -> None:
    assert view_of(of("", Role.SERVICE).admit(WATCH, Call(("symbiont-tenant", "shop")))) is INSIDE


@pytest.mark.parametrize("tenant", ["a~b", "Bank", "a" * 41, "tenants/x"])
def test_a_tenant_that_has_no_name_is_let_on_nowhere(tenant: str) -> None:
    with pytest.raises(Exception, match="tenant") as caught:
        of(tenant, Role.VIEWER).admit(GET, Call())
    assert type(caught.value).__name__ in ("InvalidArgument", "PermissionDenied")
