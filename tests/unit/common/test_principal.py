"""Who calls, as metadata says it."""

import pytest

from symbiont.common.errors import InvalidArgument
from symbiont.common.principal import principal_of


def test_the_name_is_taken_as_it_is_said() -> None:
    assert principal_of([("x", "y"), ("symbiont-principal", "ana@example.cn")]) == "ana@example.cn"
    assert principal_of([]) == ""


@pytest.mark.parametrize("name", ["a" * 129, "a\nb", "安娜"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match="symbiont-principal"):
        principal_of([("symbiont-principal", name)])
