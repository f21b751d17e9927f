"""Holds calls against the licences of the base models that they need."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Gauge

from symbiont.common.errors import SymbiontError
from symbiont.common.log import get_logger
from symbiont.inference.metrics import SHORT
from symbiont.inference.ports import BaseList
from symbiont.inference.types import LicensedBase

FIELD = "model"


class LicenseMetrics:
    """Whose the bases are, and until when they may be used; `base` is the first 12 digits of a digest.

    A base has one `provider`, whatever it is called: a query that joins it to what was used finds one for each. Where
    names of the same content have several, it is all of them.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._info = Gauge(
            "symbiont_inference_base_info",
            "Always 1: what a base is called, who provides it, and its licence.",
            ["base", "name", "provider", "license"],
            registry=registry,
        )
        self._ends = Gauge(
            "symbiont_inference_base_license_end_timestamp_seconds",
            "When the right to use a base ends, for those where it does.",
            ["base", "name"],
            registry=registry,
        )

    def update(self, bases: Sequence[LicensedBase]) -> None:
        """Shows what is known now, and nothing else."""
        providers: defaultdict[str, set[str]] = defaultdict(set)
        for base in bases:
            providers[base.digest] |= {base.provider} - {""}
        self._info.clear()
        self._ends.clear()
        for base in bases:
            digits, provider = base.digest[:SHORT], ", ".join(sorted(providers[base.digest]))
            self._info.labels(digits, base.name, provider, base.license).set(1)
            if base.terms.expire_time:
                self._ends.labels(digits, base.name).set(base.terms.expire_time.timestamp())


def _alone(base_digest: str) -> Sequence[str]:
    return (base_digest,)


class Licenses:
    """Knows the terms of all bases, which it asks the registry for every `interval_s` seconds.

    While the registry cannot be asked, what was last heard goes on. A base that was not heard of yet may be used: a
    service that has just begun answers what it can answer.

    Args:
        lineage: what a base was made of, itself first; see `Lineage`.
    """

    def __init__(
        self,
        bases: BaseList,
        metrics: LicenseMetrics,
        interval_s: float = 15.0,
        lineage: Callable[[str], Sequence[str]] = _alone,
    ) -> None:
        self._bases = bases
        self._metrics = metrics
        self._interval = interval_s
        self._lineage = lineage
        # By digest; several bases may have the same content, and all their terms count.
        self._known: Mapping[str, Sequence[LicensedBase]] = {}

    async def follow(self) -> None:
        """Keeps the terms up to date until it is cancelled."""
        failing = False
        while True:
            try:
                await self.refresh()
                failing = False
            except SymbiontError as exc:
                if not failing:
                    get_logger().warning("terms of bases not known", error=str(exc))
                failing = True
            await asyncio.sleep(self._interval)

    async def refresh(self) -> None:
        """Asks for the terms once; Unavailable when the registry cannot be asked."""
        bases = await self._bases.licensed()
        known = defaultdict(list)
        for base in bases:
            known[base.digest].append(base)
        self._known = known
        self._metrics.update(bases)

    def check(self, base_digest: str, tenant: str, field: str = FIELD) -> None:
        """Lets a tenant use a base, and what that was made of, or not; PermissionDenied, see `LicenseTerms.check`."""
        for digest in self._lineage(base_digest):
            for base in self._known.get(digest, ()):
                base.terms.check(base.name, tenant, field)

    def registered(self, base_digest: str) -> str:
        """Returns the digest of the base that the use of this one is counted by: one that the registry knows.

        That of a model that was trained in full is known to nobody else, and whose it is stands with what it was made
        of. Before the registry was heard it is the one at the beginning, whose provider and terms all others have.
        """
        lineage = self._lineage(base_digest)
        return next((digest for digest in lineage if digest in self._known), lineage[-1])
