"""Everything that was made of the rows of a subject, by what is stored and by the lineage."""

from collections.abc import Collection, Iterable, Sequence
from graphlib import TopologicalSorter

from symbiont.common.access.views import current_view
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import TenantShredded
from symbiont.training.data.rows import KIND, TENANT, read_rows
from symbiont.training.erasure.types import Learnt, Rows, Touched
from symbiont.training.gate.lineage import lineage
from symbiont.training.store import Store
from symbiont.training.store.erasures import Erasure, Users


def find(store: Store, artifacts: ArtifactStore, subject: str) -> Touched:
    """Returns what there is of a subject; reads the rows of every stored dataset."""
    rows = find_rows(store, artifacts, subject)
    return touched(store, rows, store.users_of(earlier((each.digest for each in rows), store.erasures())))


def touched(store: Store, rows: Sequence[Rows], users: Users) -> Touched:
    """Returns what was made of rows, of which `users` are what used their datasets."""
    aliases: dict[tuple[str, int], list[str]] = {}
    for model in store.models():
        for alias in model.aliases:
            aliases.setdefault((model.id, alias.version.number), []).append(alias.alias)
    shared = {base.digest for base in store.bases()}
    return Touched(
        rows=tuple(rows),
        jobs=tuple(job.id for job in users.jobs),
        checkpoints=users.checkpoints,
        versions=tuple(
            Learnt(v, tuple(aliases.get((v.model, v.number), ())), "" if v.base_digest in shared else v.base_digest)
            for v in users.versions
        ),
        bases=users.bases,
    )


def find_rows(store: Store, artifacts: ArtifactStore, subject: str) -> list[Rows]:
    """Returns the rows of a subject in all stored datasets that are the caller's, what others were made of first.

    A dataset is looked through also when no name is left of it: a call that broke off may have left it behind.
    """
    names: dict[str, list[str]] = {}
    for dataset in store.datasets():
        names.setdefault(dataset.digest, []).append(dataset.id)
    found, view = {}, current_view()
    for digest in artifacts.list(KIND):
        try:
            owner = artifacts.manifest(KIND, digest).get(TENANT, "")
        except TenantShredded:
            # Nobody can read it, nor tell whose rows it has.
            continue
        if not view.sees(owner):
            continue
        numbers = [number for number, row in enumerate(read_rows(artifacts, digest)) if row.subject == subject]
        if numbers:
            found[digest] = Rows(digest, tuple(names.get(digest, ())), tuple(numbers))
    return [found[digest] for digest in _in_order(artifacts, found)]


def earlier(digests: Iterable[str], erasures: Sequence[Erasure]) -> set[str]:
    """Returns datasets, and those in whose place they stand: what was learnt of these was learnt of their rows, too."""
    known = set(digests)
    for erasure in reversed(erasures):
        known |= {old for old, new in erasure.replaced.items() if new in known}
    return known


def _in_order(artifacts: ArtifactStore, digests: Collection[str]) -> list[str]:
    graph: TopologicalSorter[str] = TopologicalSorter()
    for digest in sorted(digests):
        parents = (parent.digest for parent in lineage(artifacts, digest).parents)
        graph.add(digest, *(parent for parent in parents if parent in digests))
    return list(graph.static_order())
