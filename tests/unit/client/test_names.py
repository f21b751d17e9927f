"""Names by their last part, and those that operators are told."""

import pytest

from symbiont.client.names import alias_name, full_name, short_name, version_name

NAMES = [("mood", "models/mood"), ("mood/versions/2", "models/mood/versions/2")]
NAMES += [(f"tenants/bank/{short}", f"tenants/bank/{full}") for short, full in NAMES]


@pytest.mark.parametrize(("short", "full"), NAMES)
def test_a_name_is_known_by_its_last_part(short: str, full: str) -> None:
    assert full_name("models", short) == full_name("models", full) == full
    assert short_name(full) == short


def test_what_a_tenant_has_is_named_by_who_sees_all() -> None:
    assert alias_name("tenants/bank/mood@tried") == "tenants/bank/models/mood/aliases/tried"
    assert version_name("tenants/bank/models/mood", 3) == "tenants/bank/models/mood/versions/3"


def test_a_model_may_be_called_as_what_operators_are_told_of() -> None:
    assert full_name("models", "tenants") == "models/tenants"
