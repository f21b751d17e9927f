"""Insecure is asked for, and stays on this machine."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from symbiont.common.settings import ServiceSettings

FILES = {"tls_certificate": "c", "tls_key": "k", "tls_clients_ca": "a"}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"insecure": False}, "insecure=true asks for none"),
        ({"insecure": False, "tls_certificate": "c", "tls_key": "k"}, "tls_clients_ca must name files"),
        ({"address": "0.0.0.0:1"}, r"address 0\.0\.0\.0:1 can be reached from elsewhere"),
        ({"address": "[::]:1"}, "can be reached from elsewhere"),
        ({"address": "some.host:1"}, "can be reached from elsewhere"),
        ({"token_address": "10.0.0.1:1"}, r"token_address 10\.0\.0\.1:1"),
        ({"token_issuer": "https://x"}, "no tokens"),
        (FILES, "no TLS"),
        ({**FILES, "insecure": False, "token_address": "h:1"}, "token_issuer must say"),
        ({"token_issuer": "http://issuer.example"}, "https"),
        ({"token_algorithms": ["HS256"]}, "makes tokens"),
        ({"token_algorithms": ["none"]}, "makes tokens"),
        ({"token_algorithms": []}, "must be some of"),
    ],
)
def test_what_is_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        ServiceSettings(**{"insecure": True, **values})


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.8.9.1:1", "[::1]:1", "localhost:1"])
def test_insecure_on_this_machine(address: str) -> None:
    settings = ServiceSettings(insecure=True, address=address)
    assert settings.tls is settings.served_tls is None


def test_the_authority_of_callers_is_that_of_services_where_no_other_is_named() -> None:
    settings = ServiceSettings(insecure=False, address="0.0.0.0:1", **FILES)  # type: ignore[arg-type]
    assert settings.tls
    assert settings.served_tls
    assert settings.tls.ca == settings.served_tls.ca == Path("a")
    other = ServiceSettings(insecure=False, tls_ca=Path("b"), **FILES)  # type: ignore[arg-type]
    assert other.tls
    assert other.tls.ca == Path("b")
