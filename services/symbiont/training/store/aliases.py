"""Aliases, and the releases that try a version beside the one that an alias points at."""

import uuid
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Select, func, insert, select, update

from symbiont.common.encryption import tenant_of
from symbiont.common.errors import FailedPrecondition, NotFound, TenantShredded
from symbiont.training import types
from symbiont.training.promotion.types import Decision, DecisionKind
from symbiont.training.store import records, tables
from symbiont.training.store.database import ALIASES
from symbiont.training.store.promotions import Promotions, record_decision, refusal
from symbiont.training.store.sealed import sealed_for
from symbiont.training.types import ReleaseState, now

_A, _R = tables.aliases.c, tables.releases.c


class Aliases(Promotions):
    """What each alias points at, pointed at before, and tries. A change of either gives the alias a new revision."""

    def version(self, model: str, number: int) -> types.ModelVersion:
        """Returns a version of a model."""
        c = tables.versions.c
        with self._read() as db:
            row = _first(db, select(tables.versions).where(c.model == model, c.number == number))
        if row is None:
            raise NotFound(f"models/{model}/versions/{number} does not exist", field="name")
        return records.version_of(row)

    def alias(self, model: str, alias: str) -> types.Alias:
        """Returns an alias."""
        found = self._aliases(select(tables.aliases).where(_A.model == model, _A.alias == alias))
        if not found:
            raise NotFound(f"models/{model}/aliases/{alias} does not exist", field="name")
        return found[0]

    def aliases_of(self, model: str) -> list[types.Alias]:
        """Returns the aliases of a model, by alias."""
        return self._aliases(select(tables.aliases).where(_A.model == model).order_by(_A.alias))

    def aliases_after(self, revision: int) -> list[types.Alias]:
        """Returns the aliases that changed after a revision, in the order of their changes."""
        return self._aliases(select(tables.aliases).where(_A.revision > revision).order_by(_A.revision))

    def set_alias(self, model: str, alias: str, number: int, principal: str = "") -> types.Alias:
        """Points an alias at a version that exists, and ends its release: as promoted when this is its candidate.

        Raises:
            FailedPrecondition: the alias has a gate that the version has not passed.
        """
        self.version(model, number)
        with self._write() as db:
            # An error in here would take back that it is on record.
            found = self._may_point(db, model, alias, number, principal)
            if not found:
                row = self._alias_row(db, model, alias)
                if row is None:
                    values = {"model": model, "alias": alias, "number": number, **self._stamp(db)}
                    db.execute(insert(tables.aliases).values(values))
                else:
                    self._point(db, row, number, f"the alias was pointed at version {number}")
        if found:
            raise refusal(model, alias, number, found)
        return self.alias(model, alias)

    def rollback_alias(self, model: str, alias: str, number: int, principal: str = "") -> types.Alias:
        """Points an alias back at its version before, if it points at version `number`; no gate keeps it from that.

        An alias that was taken back from that version already stays as it is.

        Raises:
            FailedPrecondition: there is no version before, or the alias points elsewhere by now.
        """
        name = f"models/{model}/aliases/{alias}"
        with self._write() as db:
            row = self._existing(db, model, alias, "name")
            previous = row["previous"] or 0
            if row["number"] == number and not previous:
                problem = f"{name} has pointed at nothing before version {number}"
                raise FailedPrecondition(problem, reason="NO_PREVIOUS_VERSION")
            if number not in (row["number"], previous):
                problem = f"{name} points at version {row['number']} by now"
                raise FailedPrecondition(problem, field="from_version", reason="ALIAS_MOVED")
            if row["number"] == number:
                revision = self._revision(db, model, alias)
                decision = Decision(model, alias, DecisionKind.ROLLED_BACK, previous, number, principal, revision)
                record_decision(db, decision)
                self._point(db, row, previous, f"the alias was rolled back to version {previous}")
        return self.alias(model, alias)

    def add_release(
        self, model: str, alias: str, candidate: int, weight: int, shadow: bool, rules: types.ReleaseRules
    ) -> types.Release:
        """Begins a release.

        Raises:
            FailedPrecondition: the alias has one that runs, or points at the candidate.
        """
        self.version(model, candidate)
        name, identifier = f"models/{model}/aliases/{alias}", f"release-{uuid.uuid4().hex[:12]}"
        with self._write() as db:
            baseline = self._existing(db, model, alias, "parent")["number"]
            if baseline == candidate:
                problem = f"{name} points at version {candidate} already"
                raise FailedPrecondition(problem, field="release.candidate", reason="ALREADY_SERVES")
            if running := self._active(db, model, alias):
                raise FailedPrecondition(f"{name} has a release that runs: {running['id']}", reason="RELEASE_RUNS")
            values = {"id": identifier, "model": model, "alias": alias, "candidate": candidate, "baseline": baseline}
            values |= {"weight": weight, "shadow": shadow, "rules": records.body(rules), "end_reason": ""}
            values |= {"state": ReleaseState.ACTIVE.value, "create_time": now(), "update_time": now()}
            with sealed_for(tenant_of(model)):
                db.execute(insert(tables.releases).values(values))
            self._touch(db, model, alias)
        return self.release(model, alias, identifier)

    def release(self, model: str, alias: str, identifier: str) -> types.Release:
        """Returns a release."""
        with self._read() as db:
            return self._release(self._release_row(db, model, alias, identifier))

    def releases(self, model: str, alias: str) -> list[tuple[int, types.Release]]:
        """Returns the releases of an alias, of all aliases when it is empty, newest first, each with its number."""
        self._get(tables.models, "models", model)
        query = select(tables.releases).where(_R.model == model).order_by(_R.number.desc())
        rows = self._all(query.where(_R.alias == alias) if alias else query)
        return [(row["number"], self._release(row)) for row in rows]

    def change_release(self, model: str, alias: str, identifier: str, **values: Any) -> types.Release:
        """Changes columns of a release that runs; FailedPrecondition when it has ended."""
        with self._write() as db:
            row = self._release_row(db, model, alias, identifier)
            _check_active(row)
            self._write_release(db, row, **values)
        return self.release(model, alias, identifier)

    def end_release(self, model: str, alias: str, identifier: str, state: ReleaseState, reason: str) -> types.Release:
        """Ends a release; one that has ended stays as it is."""
        with self._write() as db:
            row = self._release_row(db, model, alias, identifier)
            if row["state"] == ReleaseState.ACTIVE:
                self._write_release(db, row, state=state.value, ended={"reason": reason}, end_time=now())
        return self.release(model, alias, identifier)

    def promote_release(self, model: str, alias: str, identifier: str, principal: str = "") -> types.Release:
        """Points the alias of a release at its candidate; once done, it changes nothing.

        Raises:
            FailedPrecondition: the release has ended otherwise, or the alias has a gate that the candidate has not
                passed.
        """
        found = []
        with self._write() as db:
            row = self._release_row(db, model, alias, identifier)
            if row["state"] != ReleaseState.PROMOTED:
                _check_active(row)
                # An error in here would take back that it is on record.
                found = self._may_point(db, model, alias, row["candidate"], principal)
                if not found:
                    self._point(db, self._existing(db, model, alias, "name"), row["candidate"], "")
        if found:
            raise refusal(model, alias, row["candidate"], found)
        return self.release(model, alias, identifier)

    def _point(self, db: Connection, row: records.Row, number: int, reason: str) -> None:
        """Points an alias at a version; the release that runs ends, as promoted when the version is its candidate."""
        model, alias = row["model"], row["alias"]
        values = {"number": number, **self._stamp(db)}
        if number != row["number"]:
            values["previous"] = row["number"]
        db.execute(update(tables.aliases).where(_A.model == model, _A.alias == alias).values(values))
        if running := self._active(db, model, alias):
            promoted = running["candidate"] == number
            state = ReleaseState.PROMOTED if promoted else ReleaseState.ENDED
            reason = "the alias points at the candidate" if promoted else reason
            self._write_release(db, running, state=state.value, ended={"reason": reason}, end_time=now())

    def _write_release(self, db: Connection, row: records.Row, **values: Any) -> None:
        with sealed_for(tenant_of(row["model"])):
            db.execute(update(tables.releases).where(_R.id == row["id"]).values(update_time=now(), **values))
        self._touch(db, row["model"], row["alias"])

    def _touch(self, db: Connection, model: str, alias: str) -> None:
        where = _A.model == model, _A.alias == alias
        db.execute(update(tables.aliases).where(*where).values(self._stamp(db)))

    def _stamp(self, db: Connection) -> dict[str, Any]:
        self._tell(db, ALIASES)
        return {"revision": (db.execute(select(func.max(_A.revision))).scalar() or 0) + 1, "update_time": now()}

    def _alias_row(self, db: Connection, model: str, alias: str) -> records.Row | None:
        return _first(db, select(tables.aliases).where(_A.model == model, _A.alias == alias))

    def _existing(self, db: Connection, model: str, alias: str, field: str) -> records.Row:
        row = self._alias_row(db, model, alias)
        if row is None:
            raise NotFound(f"models/{model}/aliases/{alias} does not exist", field=field)
        return row

    def _active(self, db: Connection, model: str, alias: str) -> records.Row | None:
        where = _R.model == model, _R.alias == alias, _R.state == ReleaseState.ACTIVE.value
        return _first(db, select(tables.releases).where(*where))

    def _release_row(self, db: Connection, model: str, alias: str, identifier: str) -> records.Row:
        where = _R.model == model, _R.alias == alias, _R.id == identifier
        row = _first(db, select(tables.releases).where(*where))
        if row is None:
            raise NotFound(f"models/{model}/aliases/{alias}/releases/{identifier} does not exist", field="name")
        return row

    def _release(self, row: records.Row) -> types.Release:
        return records.release_of(row, self.version(row["model"], row["candidate"]))

    def _aliases(self, query: Select[Any]) -> list[types.Alias]:
        rows = self._all(query)
        # Few of them run at a time; an empty answer is not worth the question.
        running = self._all(select(tables.releases).where(_R.state == ReleaseState.ACTIVE.value)) if rows else []
        releases, found = dict[tuple[str, str], types.Release](), list[types.Alias]()
        # What is of a tenant whose keys were destroyed is left out, so that it hides no others.
        for row in running:
            with suppress(TenantShredded):
                releases[row["model"], row["alias"]] = self._release(row)
        for row in rows:
            with suppress(TenantShredded):
                alias = types.Alias(
                    row["model"],
                    row["alias"],
                    self.version(row["model"], row["number"]),
                    row["revision"],
                    row["update_time"],
                    row["previous"] or 0,
                    releases.get((row["model"], row["alias"])),
                )
                found.append(alias)
        return found


def _first(db: Connection, query: Select[Any]) -> records.Row | None:
    row = db.execute(query).mappings().first()
    return dict(row) if row is not None else None


def _check_active(row: records.Row) -> None:
    if row["state"] != ReleaseState.ACTIVE:
        name = f"models/{row['model']}/aliases/{row['alias']}/releases/{row['id']}"
        raise FailedPrecondition(f"{name} has ended: {row['state']}", reason="RELEASE_ENDED")
