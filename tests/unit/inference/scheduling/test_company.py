"""Two tenants that ask within a few seconds are company, however often one of them does."""

from symbiont.inference.scheduling.company import Company


def test_one_is_no_company() -> None:
    company = Company()
    assert not company.is_mixed(0.0)
    for now in range(10):
        company.note("bank", float(now))
        assert not company.is_mixed(float(now))


def test_two_are_until_one_has_not_come_back() -> None:
    company = Company()
    company.note("bank", 1.0)
    company.note("shop", 2.0)
    for now in (2.0, 3.0, 5.9):
        company.note("bank", now)
        assert company.is_mixed(now)
    # Five seconds after the other's last call.
    company.note("bank", 7.1)
    assert not company.is_mixed(7.1)
    company.note("shop", 20.0)
    assert not company.is_mixed(20.0)
    company.note("bank", 20.5)
    assert company.is_mixed(20.5)
