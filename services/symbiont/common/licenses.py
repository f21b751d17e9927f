"""On what terms a base model may be used, as the training and the inference service enforce them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from symbiont.common.errors import InvalidArgument, PermissionDenied
from symbiont.common.resources import check_id

REASON = "LICENSE"
MOST_TENANTS = 1000
LONGEST_URI = 500


@dataclass(frozen=True)
class LicenseTerms:
    """What a licence says, see the message of that name.

    Args:
        tenants: who may use the base, beside the installation itself; none for all.
        expire_time: when the right to use it ends, in UTC; None for never.
        noncommercial: whether no tenant may use it but those named.
        uri: where the text of the licence is.
    """

    tenants: tuple[str, ...] = ()
    expire_time: datetime | None = None
    noncommercial: bool = False
    uri: str = ""

    def check(self, base: str, tenant: str, field: str) -> None:
        """Lets a tenant use the base, or not; the empty tenant is the installation itself.

        Args:
            base: name of the base, for the error.
            tenant: whose data it would work on.
            field: where the request named the base, or what lives on it.

        Raises:
            PermissionDenied: its reason is LICENSE.
        """
        if self.expire_time and datetime.now(UTC) >= self.expire_time:
            problem = f"the licence of {base} ended on {self.expire_time:%Y-%m-%d}: an operator may renew its terms"
        elif not tenant or tenant in self.tenants:
            return
        elif self.tenants:
            problem = f"the licence of {base} is for certain tenants, and yours is none of them: ask an operator"
        elif self.noncommercial:
            problem = f"the licence of {base} forbids commercial use, and does not name your tenant: ask an operator"
        else:
            return
        raise PermissionDenied(problem, reason=REASON, field=field)


def check_terms(field: str, terms: LicenseTerms) -> LicenseTerms:
    """Returns terms whose values can be; InvalidArgument names what is wrong under `field`."""
    if len(terms.tenants) > MOST_TENANTS:
        raise InvalidArgument(f"{field}.tenants", f"{len(terms.tenants)} tenants, at most {MOST_TENANTS} can be named")
    for index, tenant in enumerate(terms.tenants):
        check_id(f"{field}.tenants[{index}]", tenant)
    _check_once(f"{field}.tenants", terms.tenants)
    if terms.uri and not (terms.uri.startswith("https://") and len(terms.uri) <= LONGEST_URI):
        raise InvalidArgument(f"{field}.uri", f"it must begin with https:// and have at most {LONGEST_URI} characters")
    return terms


def _check_once(field: str, names: Collection[str]) -> None:
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise InvalidArgument(field, f"it names {', '.join(twice)} more than once")
