"""What was made of the rows of a subject, and the one transaction in which the registry lets go of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Connection, delete, insert, select, tuple_, update

from symbiont.common.encryption import tenant_of
from symbiont.common.errors import FailedPrecondition
from symbiont.training import types
from symbiont.training.store import records, tables
from symbiont.training.store.database import readable
from symbiont.training.store.sealed import Shredded, sealed_for
from symbiont.training.store.tracked import Tracked
from symbiont.training.types import now

_C, _D, _E, _J, _V = (t.c for t in (tables.checkpoints, tables.datasets, tables.erasures, tables.jobs, tables.versions))
CHECKPOINTS = "checkpoints"
Artifacts = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Erasure:
    """One erasure on record: what stands in the place of which dataset (empty for nothing), the versions that had
    learnt its rows, and the artifacts, (kind, digest), that are still to be removed.

    Attributes:
        request: who asked, and what was found, so that whoever asks again is answered the same; None of those that
            were recorded without.
    """

    number: int
    subject_digest: str
    replaced: Mapping[str, str]
    versions: tuple[tuple[str, int], ...]
    pending: tuple[tuple[str, str], ...]
    request: "Request | None" = None


@dataclass(frozen=True)
class Request:
    """A call that erases.

    Attributes:
        id: the caller's own; empty for none.
        owner: the tenant whose rows it sees, empty for the installation, None for those of all.
        rows: (digest, names, numbers) of the datasets with rows of the subject, as they were.
        checkpoints: (job, digest).
    """

    id: str
    owner: str | None
    rows: tuple[tuple[str, tuple[str, ...], tuple[int, ...]], ...]
    checkpoints: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Users:
    """Jobs that work, or worked, on some datasets, and what those that learnt them have left.

    A job has learnt, too, what the base or the version that it starts from has.

    Attributes:
        learnt: the ids of those that learnt them; the others were judged by them.
        checkpoints: (job, digest).
    """

    jobs: tuple[types.Job, ...]
    learnt: frozenset[str]
    checkpoints: tuple[tuple[str, str], ...]
    versions: tuple[types.ModelVersion, ...]
    bases: tuple[types.BaseModel, ...]


class Erasures(Tracked):
    """A row for each erasure, without the name of the subject."""

    def erasures(self) -> list[Erasure]:
        """Returns all erasures, the first one first."""
        return [_erasure_of(row) for row in self._all(select(tables.erasures).order_by(_E.number))]

    def users_of(self, digests: Collection[str]) -> Users:
        """Returns what used some datasets."""
        with self._read() as db:
            return self._users(db, digests)

    def erase(
        self,
        subject_digest: str,
        replaced: Mapping[str, types.Dataset | None],
        lost: Collection[str],
        removed: Artifacts,
        request: Request | None = None,
    ) -> tuple[Erasure, Users]:
        """Points datasets at what is left of them, marks versions and bases, and forgets checkpoints.

        What used the datasets is looked for here again: a job may have ended since the caller looked.

        Args:
            replaced: by digest, a dataset with the rows that are left, None where there are none.
            lost: all digests by which those rows were ever known.
            removed: artifacts that are to go when this is written, beside the checkpoints; `finish_erasure` says that
                they are gone.
            request: is recorded, with the checkpoints.

        Raises:
            FailedPrecondition: a job that has not ended works on one of them.
        """
        with self._write() as db:
            users = self._users(db, lost)
            if open_job := next((job for job in users.jobs if not job.state.ended), None):
                problem = f"jobs/{open_job.id} works on rows of the subject: cancel it, or wait until it has ended"
                raise FailedPrecondition(problem, reason="DATASET_IN_USE")
            for digest, left in replaced.items():
                self._replace(db, digest, left)
            versions = [(version.model, version.number) for version in users.versions]
            marked = tuple_(_V.model, _V.number).in_(versions)
            db.execute(update(tables.versions).where(marked).values(trained_on_erased=True))
            for base in users.bases:
                body = records.body(replace(base, quantized_digest="", trained_on_erased=True))
                db.execute(update(tables.bases).where(tables.bases.c.id == base.id).values(body=body))
            db.execute(delete(tables.checkpoints).where(_C.job.in_(users.learnt)))
            db.execute(update(tables.jobs).where(_J.id.in_(users.learnt)).values(checkpoint_digest="", best_digest=""))
            saved = [(CHECKPOINTS, digest) for _, digest in users.checkpoints]
            body = {
                "replaced": {digest: left.digest if left else "" for digest, left in replaced.items()},
                "versions": versions,
                "pending": [*removed, *dict.fromkeys(saved)],
                "request": asdict(replace(request, checkpoints=users.checkpoints)) if request else None,
            }
            values = {"subject_digest": subject_digest, "body": types.plain(body), "create_time": now()}
            number = db.execute(insert(tables.erasures).values(values)).inserted_primary_key
            row = db.execute(select(tables.erasures).where(_E.number == number[0])).mappings().one()  # type: ignore[index]
            return _erasure_of(dict(row)), users

    def finish_erasure(self, erasure: Erasure) -> None:
        """Says that what an erasure was still to remove is gone."""
        named = _E.number == erasure.number
        with self._write() as db:
            body = db.execute(select(_E.body).where(named)).scalar_one()
            db.execute(update(tables.erasures).where(named).values(body=body | {"pending": []}))

    def _users(self, db: Connection, digests: Collection[str]) -> Users:
        rows = readable(db.execute(select(tables.jobs).order_by(_J.number)).mappings())
        inputs = {row["id"]: records.inputs_of(row["inputs"]) for row in rows}
        learnt, bases = self._learnt(db, inputs, set(digests))
        jobs = [records.job_of(r) for r in rows if r["id"] in learnt or inputs[r["id"]].datasets & set(digests)]
        saved = db.execute(select(_C.job, _C.digest).where(_C.job.in_(learnt)).order_by(_C.job, _C.step))
        known = dict.fromkeys((job, digest) for job, digest in saved)
        # The latest and the best stand in their job alone once they were collected.
        for row in (row for row in rows if row["id"] in learnt):
            known |= {(row["id"], row[name]): None for name in ("checkpoint_digest", "best_digest")}
        made = db.execute(select(tables.versions).where(_V.job.in_(learnt)).order_by(_V.model, _V.number))
        return Users(
            jobs=tuple(jobs),
            learnt=frozenset(learnt),
            checkpoints=tuple(key for key in known if key[1]),
            versions=tuple(map(records.version_of, readable(made.mappings()))),
            bases=bases,
        )

    def _learnt(
        self, db: Connection, inputs: Mapping[str, types.Inputs], digests: set[str]
    ) -> tuple[set[str], tuple[types.BaseModel, ...]]:
        """Returns the jobs that learnt datasets, by themselves or by what they start from, and the bases they made."""
        bundles = {row.job: row.bundle_digest for row in db.execute(select(_V.job, _V.bundle_digest))}
        stored = readable(db.execute(select(tables.bases).order_by(tables.bases.c.id)).mappings())
        adapted = [base for base in map(records.base_of, stored) if base.source.kind == "training_job"]
        learnt = {job for job, given in inputs.items() if given.learnt & digests}
        while True:
            bases = tuple(base for base in adapted if base.source.location.removeprefix("jobs/") in learnt)
            starts = {base.digest for base in bases} | {bundles[job] for job in learnt if job in bundles}
            more = {job for job, given in inputs.items() if {given.base_digest, given.start_digest} & starts} - learnt
            if not more:
                return learnt, bases
            learnt |= more

    def _replace(self, db: Connection, digest: str, left: types.Dataset | None) -> None:
        for row in db.execute(select(tables.datasets).where(_D.digest == digest)).mappings().all():
            named = _D.id == row["id"]
            if left is None:
                db.execute(delete(tables.datasets).where(named))
                continue
            if isinstance(row["body"], Shredded):
                continue
            own = records.body(left) | {"id": row["id"]}
            kept = {name: value for name, value in row["body"].items() if name not in REWRITTEN}
            body = kept | {name: own[name] for name in REWRITTEN}
            with sealed_for(tenant_of(row["id"])):
                db.execute(update(tables.datasets).where(named).values(digest=left.digest, body=body))


# What of a dataset follows from its rows.
REWRITTEN = ("digest", "row_count", "byte_count", "label_counts", "label_range")


def _erasure_of(row: Mapping[str, Any]) -> Erasure:
    body = row["body"]
    versions, pending = (tuple((one, other) for one, other in body[name]) for name in ("versions", "pending"))
    request = _request_of(body["request"]) if body.get("request") else None
    return Erasure(row["number"], row["subject_digest"], body["replaced"], versions, pending, request)


def _request_of(body: Mapping[str, Any]) -> Request:
    rows = tuple((digest, tuple(names), tuple(numbers)) for digest, names, numbers in body["rows"])
    return Request(body["id"], body["owner"], rows, tuple((job, digest) for job, digest in body["checkpoints"]))


def latest(digest: str, erasures: Sequence[Erasure]) -> str:
    """Returns what stands in the place of a dataset after all erasures."""
    for erasure in erasures:
        digest = erasure.replaced.get(digest, digest)
    return digest
