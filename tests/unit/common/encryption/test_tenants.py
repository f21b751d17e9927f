import pytest

from symbiont.common.encryption import tenant_of


@pytest.mark.parametrize(
    ("name", "tenant"),
    [
        ("acme~mood", "acme"),
        ("models/acme~mood/versions/1", "acme"),
        ("jobs/job-1", ""),
        ("mood", ""),
        ("", ""),
        ("a~b~c", "a"),
    ],
)
def test_an_id_tells_its_tenant(name: str, tenant: str) -> None:
    assert tenant_of(name) == tenant
