"""Holds calls against the licences of the base models that they need."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, Gauge

from symbiont.common.errors import SymbiontError
from symbiont.common.log import get_logger
from symbiont.inference.metrics import SHORT
from symbiont.inference.ports import BaseList
from symbiont.inference.types import LicensedBase

FIELD = "model"


class LicenseMetrics:
    """Whose the bases are, and until when they may be used; `base` is the first 12 digits of a digest."""

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
        self._info.clear()
        self._ends.clear()
        for base in bases:
            digits = base.digest[:SHORT]
            self._info.labels(digits, base.name, base.provider, base.license).set(1)
            if base.terms.expire_time:
                self._ends.labels(digits, base.name).set(base.terms.expire_time.timestamp())


class Licenses:
    """Knows the terms of all bases, which it asks the registry for every `interval_s` seconds.

    While the registry cannot be asked, what was last heard goes on. A base that was not heard of yet may be used: a
    service that has just begun answers what it can answer.
    """

    def __init__(self, bases: BaseList, metrics: LicenseMetrics, interval_s: float = 15.0) -> None:
        self._bases = bases
        self._metrics = metrics
        self._interval = interval_s
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
        """Lets a tenant use a base, or not; PermissionDenied, see `LicenseTerms.check`."""
        for base in self._known.get(base_digest, ()):
            base.terms.check(base.name, tenant, field)
