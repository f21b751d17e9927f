"""What of the artifact store is kept for whom, as far as the registry knows."""

from typing import Any, NamedTuple

from sqlalchemy import select

from symbiont.common.access.views import owner_of
from symbiont.common.resources import MARK
from symbiont.training.store import tables
from symbiont.training.store.watching import Watching

_C, _D, _V = tables.checkpoints.c, tables.datasets.c, tables.versions.c
# Which column says whose it is, and which one the artifact.
_KEPT = (
    ("datasets", _D.id, _D.digest),
    ("checkpoints", _C.job, _C.digest),
    ("bundles", _V.model, _V.bundle_digest),
    ("evaluations", _V.model, _V.evaluation_digest),
)


class Held(NamedTuple):
    """An artifact, and the tenant that it is kept for; empty for the installation."""

    owner: str
    kind: str
    digest: str


class Holdings(Watching):
    """Rows of datasets, checkpoints, and versions with their reports."""

    def holdings(self, owner: str | None = None) -> set[Held]:
        """Returns what is kept for a tenant, or for everybody; two names of the same artifact are one."""
        return {
            Held(owner_of(row["holder"]), kind, row["digest"])
            for kind, holder, digest in _KEPT
            for row in self._all(_of(owner, holder, digest))
            if row["digest"]
        }


def _of(owner: str | None, holder: Any, digest: Any) -> Any:
    query = select(holder.label("holder"), digest.label("digest")).distinct()
    if owner is None:
        return query
    return query.where(holder.startswith(owner + MARK) if owner else holder.not_like(f"%{MARK}%"))
