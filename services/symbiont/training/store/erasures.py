"""What was made of the rows of a subject, and the one transaction in which the registry lets go of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, tuple_, update

from symbiont.common.errors import FailedPrecondition
from symbiont.training import types
from symbiont.training.store import records, tables
from symbiont.training.store.tracked import Tracked
from symbiont.training.types import now

_C, _D, _E, _J, _V = (t.c for t in (tables.checkpoints, tables.datasets, tables.erasures, tables.jobs, tables.versions))
Artifacts = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Erasure:
    """One erasure on record: what stands in the place of which dataset (empty for nothing), the versions that had
    learnt its rows, and the artifacts, (kind, digest), that are still to be removed."""

    number: int
    subject_digest: str
    replaced: Mapping[str, str]
    versions: tuple[tuple[str, int], ...]
    pending: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Users:
    """Jobs that work, or worked, on some datasets, and what those that learnt them have left."""

    jobs: tuple[types.Job, ...]
    checkpoints: tuple[tuple[str, str], ...]
    versions: tuple[types.ModelVersion, ...]


class Erasures(Tracked):
    """A row for each erasure, without the name of the subject."""

    def erasures(self) -> list[Erasure]:
        """Returns all erasures, the first one first."""
        return [_erasure_of(row) for row in self._all(select(tables.erasures).order_by(_E.number))]

    def users_of(self, digests: Collection[str]) -> Users:
        """Returns what used some datasets."""
        with self._read() as db:
            jobs = self._users(db, digests)
            learnt = [job.id for job in jobs if job.inputs.learnt & set(digests)]
            saved = db.execute(select(_C.job, _C.digest).where(_C.job.in_(learnt)).order_by(_C.job, _C.step))
            known = dict.fromkeys((job, digest) for job, digest in saved)
            # The latest stands in its job alone once it was collected.
            known |= {(job.id, job.checkpoint_digest): None for job in jobs if job.id in learnt}
            made = db.execute(select(tables.versions).where(_V.job.in_(learnt)).order_by(_V.model, _V.number))
            versions = tuple(records.version_of(dict(row)) for row in made.mappings())
            return Users(tuple(jobs), tuple(key for key in known if key[1]), versions)

    def erase(
        self,
        subject_digest: str,
        replaced: Mapping[str, types.Dataset | None],
        lost: Collection[str],
        removed: Artifacts,
    ) -> Erasure:
        """Points datasets at what is left of them, marks versions, and forgets checkpoints.

        Args:
            replaced: by digest, a dataset with the rows that are left, None where there are none.
            lost: all digests by which those rows were ever known.
            removed: artifacts that are to go when this is written; `finish_erasure` says that they are gone.

        Raises:
            FailedPrecondition: a job that has not ended works on one of them.
        """
        with self._write() as db:
            jobs = self._users(db, lost)
            if open_job := next((job for job in jobs if not job.state.ended), None):
                problem = f"jobs/{open_job.id} works on rows of the subject: cancel it, or wait until it has ended"
                raise FailedPrecondition(problem, reason="DATASET_IN_USE")
            for digest, left in replaced.items():
                self._replace(db, digest, left)
            learnt = [job.id for job in jobs if job.inputs.learnt & set(lost)]
            versions = [tuple(row) for row in db.execute(select(_V.model, _V.number).where(_V.job.in_(learnt)))]
            marked = tuple_(_V.model, _V.number).in_(versions)
            db.execute(update(tables.versions).where(marked).values(trained_on_erased=True))
            db.execute(delete(tables.checkpoints).where(_C.job.in_(learnt)))
            db.execute(update(tables.jobs).where(_J.id.in_(learnt)).values(checkpoint_digest="", best_digest=""))
            body = {
                "replaced": {digest: left.digest if left else "" for digest, left in replaced.items()},
                "versions": versions,
                "pending": removed,
            }
            values = {"subject_digest": subject_digest, "body": types.plain(body), "create_time": now()}
            number = db.execute(insert(tables.erasures).values(values)).inserted_primary_key
            row = db.execute(select(tables.erasures).where(_E.number == number[0])).mappings().one()  # type: ignore[index]
            return _erasure_of(dict(row))

    def finish_erasure(self, erasure: Erasure) -> None:
        """Says that what an erasure was still to remove is gone."""
        body = {"replaced": dict(erasure.replaced), "versions": types.plain(erasure.versions), "pending": []}
        with self._write() as db:
            db.execute(update(tables.erasures).where(_E.number == erasure.number).values(body=body))

    def _users(self, db: Connection, digests: Collection[str]) -> list[types.Job]:
        rows = db.execute(select(tables.jobs).order_by(_J.number)).mappings()
        wanted = set(digests)
        return [records.job_of(dict(row)) for row in rows if records.inputs_of(row["inputs"]).datasets & wanted]

    def _replace(self, db: Connection, digest: str, left: types.Dataset | None) -> None:
        for row in db.execute(select(tables.datasets).where(_D.digest == digest)).mappings().all():
            named = _D.id == row["id"]
            if left is None:
                db.execute(delete(tables.datasets).where(named))
                continue
            own = records.body(left) | {"id": row["id"]}
            kept = {name: value for name, value in row["body"].items() if name not in REWRITTEN}
            body = kept | {name: own[name] for name in REWRITTEN}
            db.execute(update(tables.datasets).where(named).values(digest=left.digest, body=body))


# What of a dataset follows from its rows.
REWRITTEN = ("digest", "row_count", "byte_count", "label_counts", "label_range")


def _erasure_of(row: Mapping[str, Any]) -> Erasure:
    body = row["body"]
    versions, pending = (tuple((one, other) for one, other in body[name]) for name in ("versions", "pending"))
    return Erasure(row["number"], row["subject_digest"], body["replaced"], versions, pending)
