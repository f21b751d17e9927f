"""How servers are named."""

import pytest

from symbiont.common.errors import Unavailable
from symbiont.triton.addresses import Addresses


async def test_one_and_several() -> None:
    assert Addresses.parse("triton:8001").single
    several = Addresses.parse("one:8001, two:8001")
    assert not several.single
    assert list(await several.now()) == ["one:8001", "two:8001"]


async def test_a_name_is_resolved() -> None:
    name = Addresses.parse("dns:///localhost:8001")
    assert not name.single
    assert "127.0.0.1:8001" in await name.now()
    with pytest.raises(Unavailable, match=r"nowhere\.invalid"):
        await Addresses.parse("dns:///nowhere.invalid:8001").now()


@pytest.mark.parametrize("text", ["", "triton", "one:8001,", "one:8001,one:8001", "dns:///triton", "dns:///"])
def test_what_names_no_server_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"host:port|twice"):
        Addresses.parse(text)
