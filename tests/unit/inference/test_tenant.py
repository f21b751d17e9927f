"""A tenant is named by metadata, or not at all."""

import pytest

from symbiont.common.errors import InvalidArgument
from symbiont.inference.tenant import tenant_of


def test_the_name_in_the_metadata_counts() -> None:
    assert tenant_of([("x-request-id", "r"), ("symbiont-tenant", "acme:eu/1")]) == "acme:eu/1"
    assert tenant_of([("x-request-id", "r")]) == ""


@pytest.mark.parametrize("name", ["", "a b", "ä", "x" * 129, b"acme"])
def test_a_bad_name_is_refused(name: str | bytes) -> None:
    with pytest.raises(InvalidArgument) as caught:
        tenant_of([("symbiont-tenant", name)])
    assert caught.value.field == "symbiont-tenant"
