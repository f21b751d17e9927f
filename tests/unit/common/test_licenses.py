"""Who may use a base, until when, and for what."""

from datetime import UTC, datetime, timedelta

import pytest

from symbiont.common.errors import InvalidArgument, PermissionDenied
from symbiont.common.licenses import LONGEST_URI, LicenseTerms, check_terms

YESTERDAY, TOMORROW = (datetime.now(UTC) + timedelta(days=days) for days in (-1, 1))


@pytest.mark.parametrize(
    ("terms", "tenant"),
    [
        (LicenseTerms(), ""),
        (LicenseTerms(), "bank"),
        (LicenseTerms(expire_time=TOMORROW), "bank"),
        (LicenseTerms(tenants=("bank",)), "bank"),
        (LicenseTerms(tenants=("bank",)), ""),
        (LicenseTerms(tenants=("bank",), noncommercial=True), "bank"),
        (LicenseTerms(noncommercial=True), ""),
    ],
)
def test_may_be_used(terms: LicenseTerms, tenant: str) -> None:
    terms.check("bases/tiny", tenant, "model")


@pytest.mark.parametrize(
    ("terms", "tenant", "why"),
    [
        (LicenseTerms(expire_time=YESTERDAY), "", "ended on"),
        (LicenseTerms(tenants=("bank",), expire_time=YESTERDAY), "bank", "ended on"),
        (LicenseTerms(tenants=("bank",)), "shop", "certain tenants"),
        (LicenseTerms(tenants=("bank",), noncommercial=True), "shop", "certain tenants"),
        (LicenseTerms(noncommercial=True), "shop", "commercial use"),
    ],
)
def test_may_not_be_used(terms: LicenseTerms, tenant: str, why: str) -> None:
    with pytest.raises(PermissionDenied, match=f"^model: the licence of bases/tiny .*{why}") as caught:
        terms.check("bases/tiny", tenant, "model")
    assert caught.value.reason == "LICENSE"
    # Whom else the terms name is not for everybody.
    assert "bank" not in str(caught.value)


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        (LicenseTerms(tenants=("bank", "No Name")), r"terms\.tenants\[1\]"),
        (LicenseTerms(tenants=("bank", "bank")), r"terms\.tenants: .*bank more than once"),
        (LicenseTerms(tenants=tuple(f"t{n}" for n in range(1001))), r"terms\.tenants: 1001"),
        (LicenseTerms(uri="http://example.org"), r"terms\.uri"),
        (LicenseTerms(uri="https://" + "x" * LONGEST_URI), r"terms\.uri"),
    ],
)
def test_terms_that_cannot_be(terms: LicenseTerms, field: str) -> None:
    with pytest.raises(InvalidArgument, match=field):
        check_terms("terms", terms)
