"""The gate of each alias, and the record of what was decided: only ever added to."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from symbiont.common.encryption import tenant_of
from symbiont.common.errors import FailedPrecondition, NotFound
from symbiont.training.promotion.checking import missing
from symbiont.training.promotion.types import Decision, DecisionKind, Finding, Policy
from symbiont.training.store import records, tables
from symbiont.training.store.database import Database
from symbiont.training.store.sealed import sealed_for
from symbiont.training.types import now

_P, _D = tables.policies.c, tables.decisions.c


class Promotions(Database):
    """Policies and decisions."""

    def policy(self, model: str, alias: str) -> Policy:
        """Returns the gate of an alias; an empty one where it has none."""
        with self._read() as db:
            return _policy(db, model, alias)

    def set_policy(self, model: str, alias: str, policy: Policy) -> Policy:
        """Sets the gate of an alias, in place of the one before, and records it."""
        with self._write() as db:
            revision = (db.execute(select(func.max(_P.revision))).scalar() or 0) + 1
            values = {
                "body": {"rules": list(policy.rules), "approvals": policy.approvals},
                "evaluation_dataset": policy.evaluation_dataset,
                "revision": revision,
                "principal": policy.principal,
                "update_time": now(),
            }
            where = _P.model == model, _P.alias == alias
            with sealed_for(tenant_of(model)):
                if not db.execute(update(tables.policies).where(*where).values(values)).rowcount:
                    db.execute(insert(tables.policies).values(model=model, alias=alias, **values))
            decision = Decision(model, alias, DecisionKind.POLICY_SET, principal=policy.principal)
            record_decision(db, decision, incumbent=_pointed_at(db, model, alias), policy_revision=revision)
            return _policy(db, model, alias)

    def record(self, decision: Decision) -> Decision:
        """Records a decision; returns it with its number."""
        with self._write() as db:
            return self._decision(db, decision.model, decision.alias, record_decision(db, decision))

    def approve(self, model: str, alias: str, number: int, principal: str, comment: str) -> Decision:
        """Records that somebody approves a version for an alias.

        Raises:
            FailedPrecondition: the version has not passed the rules of the alias, or is this principal's own.
        """
        with self._write() as db:
            policy, incumbent = _policy(db, model, alias), _pointed_at(db, model, alias)
            # That there are too few approvals does not keep one from being given.
            rules_alone = Policy(policy.rules, 0, policy.evaluation_dataset, policy.revision)
            found = missing(rules_alone, self._of_version(db, model, alias, number), number, incumbent, principal)
            if found:
                raise refusal(model, alias, number, found)
            if principal == _trained_by(db, model, number):
                problem = f"{principal} has trained models/{model}/versions/{number}: let a second person approve it"
                raise FailedPrecondition(problem, reason="SAME_PERSON")
            decision = Decision(model, alias, DecisionKind.APPROVED, number, incumbent, principal, comment=comment)
            return self._decision(db, model, alias, record_decision(db, decision, policy_revision=policy.revision))

    def decisions(self, model: str, alias: str = "", version: int = 0) -> list[Decision]:
        """Returns what was decided on an alias, on all of a model where it is empty, on one version, newest first."""
        query = select(tables.decisions).where(_D.model == model).order_by(_D.number.desc())
        query = query.where(_D.alias == alias) if alias else query
        return [_decision_of(row) for row in self._all(query.where(_D.version == version) if version else query)]

    def decision(self, model: str, alias: str, number: int) -> Decision:
        """Returns one decision."""
        with self._read() as db:
            return self._decision(db, model, alias, number)

    def _decision(self, db: Connection, model: str, alias: str, number: int) -> Decision:
        where = _D.model == model, _D.alias == alias, _D.number == number
        row = db.execute(select(tables.decisions).where(*where)).mappings().first()
        if row is None:
            raise NotFound(f"models/{model}/aliases/{alias}/decisions/{number} does not exist", field="name")
        return _decision_of(dict(row))

    def _may_point(self, db: Connection, model: str, alias: str, number: int, principal: str) -> list[Finding]:
        """Returns what keeps an alias from a version, and records whether it is pointed there or not."""
        policy, incumbent = _policy(db, model, alias), _pointed_at(db, model, alias)
        if incumbent == number:
            return []
        known = [] if policy.open else self._of_version(db, model, alias, number)
        found = [] if policy.open else missing(policy, known, number, incumbent, principal)
        kind = DecisionKind.REFUSED if found else DecisionKind.PROMOTED
        decision = Decision(model, alias, kind, number, incumbent, principal, findings=tuple(found), passed=not found)
        record_decision(db, decision, policy_revision=policy.revision)
        return found

    def _revision(self, db: Connection, model: str, alias: str) -> int:
        return _policy(db, model, alias).revision

    def _of_version(self, db: Connection, model: str, alias: str, number: int) -> list[Decision]:
        where = _D.model == model, _D.alias == alias, _D.version == number
        rows = db.execute(select(tables.decisions).where(*where).order_by(_D.number)).mappings()
        return [_decision_of(dict(row)) for row in rows]


def refusal(model: str, alias: str, number: int, found: Sequence[Finding]) -> FailedPrecondition:
    """Returns the error that says why a version may not take over."""
    why = "; ".join(finding.text.rstrip(".") for finding in found)
    problem = f"models/{model}/versions/{number} may not take over models/{model}/aliases/{alias}: {why}"
    return FailedPrecondition(problem, reason="PROMOTION_REFUSED")


def _policy(db: Connection, model: str, alias: str) -> Policy:
    row = db.execute(select(tables.policies).where(_P.model == model, _P.alias == alias)).mappings().first()
    if row is None:
        return Policy()
    body = row["body"]
    return Policy(
        tuple(body["rules"]),
        body["approvals"],
        row["evaluation_dataset"],
        row["revision"],
        row["principal"],
        row["update_time"],
    )


def _trained_by(db: Connection, model: str, number: int) -> str | None:
    """Returns who asked for the job that made a version; empty where nobody said."""
    v, j = tables.versions.c, tables.jobs.c
    made = select(j.principal).join(tables.versions, v.job == j.id).where(v.model == model, v.number == number)
    return db.execute(made).scalar()


def _pointed_at(db: Connection, model: str, alias: str) -> int:
    c = tables.aliases.c
    return db.execute(select(c.number).where(c.model == model, c.alias == alias)).scalar() or 0


def record_decision(db: Connection, decision: Decision, **more: Any) -> int:
    """Adds a decision, with other values of some columns; returns its number."""
    columns = ("model", "alias", "version", "incumbent", "principal", "policy_revision", "passed", "evaluation_digest")
    values = {name: getattr(decision, name) for name in columns} | {"kind": decision.kind.value, "time": decision.time}
    body = {
        "findings": [asdict(finding) for finding in decision.findings],
        "row_count": decision.row_count,
        "seen_by_incumbent": decision.seen_by_incumbent,
        "comment": decision.comment,
    }
    with sealed_for(tenant_of(decision.model)):
        inserted = db.execute(insert(tables.decisions).values({**values, "body": body, **more}))
    return int(inserted.inserted_primary_key[0])  # type: ignore[index]


def _decision_of(row: records.Row) -> Decision:
    body = row["body"]
    values = {name: row[name] for name in row if name not in ("body", "kind")}
    return Decision(
        **values,
        kind=DecisionKind(row["kind"]),
        findings=tuple(Finding(**finding) for finding in body["findings"]),
        row_count=body["row_count"],
        seen_by_incumbent=body["seen_by_incumbent"],
        comment=body["comment"],
    )
