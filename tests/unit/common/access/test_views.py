"""What callers say of resources, and what they are told."""

import pytest

from symbiont.common.access.views import ID, INSIDE, NAME, OPEN, TEXT, beside, owner_of, view_of
from symbiont.common.errors import InvalidArgument, PermissionDenied, Unauthenticated
from symbiont.common.principal import Principal, Role

BANK = view_of(Principal("ana", "bank", frozenset({Role.TRAINER})))
OPERATOR = view_of(Principal("ops", "", frozenset({Role.OPERATOR})))
INSTALLATION = view_of(Principal("eve", "", frozenset({Role.ADMIN})))
DIGEST = "a" * 64


@pytest.mark.parametrize(
    ("holds", "said", "inside"),
    [
        (NAME, "models/mood", "models/bank~mood"),
        (NAME, "models/mood@staging", "models/bank~mood@staging"),
        (NAME, "models/mood/versions/1", "models/bank~mood/versions/1"),
        (NAME, "jobs/job-1", "jobs/bank~job-1"),
        (NAME, "catalogues/faq/versions/2", "catalogues/bank~faq/versions/2"),
        (NAME, "bases/minilm", "bases/minilm"),
        (NAME, f"bundles/{DIGEST}", f"bundles/{DIGEST}"),
        (NAME, "symbiont.inference.v1.InferenceService", "symbiont.inference.v1.InferenceService"),
        (ID, "mood", "bank~mood"),
        (ID, f"bundles/{DIGEST}", f"bank~bundles/{DIGEST}"),
        (OPEN, "mood@staging", "bank~mood@staging"),
        (OPEN, f"bundles/{DIGEST}", f"bundles/{DIGEST}"),
    ],
)
def test_what_a_tenant_says_is_its_own(holds: int, said: str, inside: str) -> None:
    assert BANK.enter(holds, said) == inside
    assert BANK.leave(holds, inside) == said
    assert INSIDE.enter(holds, inside) == INSIDE.leave(holds, inside) == inside


def test_texts_lose_the_tenant_and_nothing_else() -> None:
    text = "models/bank~mood has no alias; other-bank~x; bank note"
    assert BANK.leave(TEXT, text) == "models/mood has no alias; other-bank~x; bank note"


def test_operators_name_the_tenant() -> None:
    for holds, said, inside in (
        (NAME, "tenants/bank/models/mood/versions/1", "models/bank~mood/versions/1"),
        (NAME, "models/mood", "models/mood"),
        (OPEN, "tenants/bank/mood@staging", "bank~mood@staging"),
        (ID, "tenants/bank/rows", "bank~rows"),
    ):
        assert OPERATOR.enter(holds, said) == inside
        assert OPERATOR.leave(holds, inside) == said
    assert OPERATOR.leave(TEXT, "jobs/bank~job-1 works on it") == "tenants/bank/jobs/job-1 works on it"


@pytest.mark.parametrize("view", [OPERATOR, INSTALLATION])
def test_the_mark_cannot_be_said(view: object) -> None:
    with pytest.raises(InvalidArgument, match="leave it out"):
        view.enter(NAME, "models/bank~mood")  # type: ignore[attr-defined]


def test_who_sees_whose() -> None:
    outsider = view_of(Principal(roles=frozenset()))
    seen = {
        name: [tenant for tenant in ("", "bank", "shop") if view.sees(tenant)]
        for name, view in {"bank": BANK, "ops": OPERATOR, "own": INSTALLATION, "in": INSIDE, "out": outsider}.items()
    }
    everything = ["", "bank", "shop"]
    assert seen == {"bank": ["bank"], "ops": everything, "own": [""], "in": everything, "out": []}


def test_who_says_nothing_of_itself_names_nothing() -> None:
    outsider = view_of(Principal(roles=frozenset()))
    assert outsider.enter(NAME, "liveness") == "liveness"
    with pytest.raises(Unauthenticated):
        outsider.enter(NAME, "models/mood@production")


def test_a_worker_of_a_tenant_names_only_what_is_the_tenants() -> None:
    worker = view_of(Principal("w", "bank", frozenset({Role.WORKER})))
    assert worker.enter(NAME, "jobs/bank~job-1") == "jobs/bank~job-1"
    for name in ("jobs/shop~job-1", "jobs/job-1"):
        with pytest.raises(PermissionDenied):
            worker.enter(NAME, name)


def test_where_nobody_is_asked_everybody_is_inside() -> None:
    assert view_of(Principal()) is INSIDE


def test_owners() -> None:
    assert [owner_of(name) for name in ("mood", "bank~mood", "jobs/bank~job-1", "jobs/job-1")] == [
        "",
        "bank",
        "bank",
        "",
    ]
    assert (beside("datasets/bank~rows", "job-1"), beside("datasets/rows", "job-1")) == ("bank~job-1", "job-1")
