"""Base models, datasets, models with their versions and aliases: what has a name and is kept."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from symbiont.common.encryption import tenant_of
from symbiont.common.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from symbiont.training import types
from symbiont.training.store import records, tables
from symbiont.training.store.aliases import Aliases
from symbiont.training.store.sealed import sealed_for
from symbiont.training.types import now


class Registry(Aliases):
    """Named resources. Base models, datasets and versions are written once; aliases move, and bases are quantised."""

    def add_base(self, base: types.BaseModel) -> types.BaseModel:
        """Registers a base model; the same content under the same id is no error."""
        with self._write() as db:
            return self._insert_base(db, base)

    def _insert_base(self, db: Connection, base: types.BaseModel) -> types.BaseModel:
        # The tokenizer belongs to the content as much as the weights do.
        content = hashlib.sha256(f"{base.digest}:{base.tokenizer_digest}".encode()).hexdigest()
        return records.base_of(self._insert(db, tables.bases, "bases", base.id, content, base))

    def base(self, identifier: str) -> types.BaseModel:
        """Returns a base model; provider and terms are those of the one that it was derived of in the end."""
        base = first = records.base_of(self._get(tables.bases, "bases", identifier))
        while first.parent:
            first = records.base_of(self._get(tables.bases, "bases", first.parent))
        return _on_terms_of(base, first)

    def bases(self) -> list[types.BaseModel]:
        """Returns all base models, by id; see `base`."""
        rows = self._all(select(tables.bases).order_by(tables.bases.c.id))
        found = {base.id: base for base in map(records.base_of, rows)}

        def first(base: types.BaseModel) -> types.BaseModel:
            return first(found[base.parent]) if base.parent in found else base

        return [_on_terms_of(base, first(base)) for base in found.values()]

    def update_base(self, identifier: str, changes: Mapping[str, Any]) -> types.BaseModel:
        """Changes `provider`, `license` and `terms` of a base.

        Raises:
            NotFound: there is none.
            InvalidArgument: it was derived of another.
        """
        named = tables.bases.c.id == identifier
        with self._write() as db:
            row = db.execute(select(tables.bases).where(named)).mappings().first()
            if row is None:
                raise NotFound(f"bases/{identifier} does not exist", field="base_model.name")
            base = records.base_of(dict(row))
            if base.parent:
                problem = f"bases/{identifier} was derived of bases/{base.parent}, whose terms it has: change those"
                raise InvalidArgument("base_model.name", problem)
            body = records.body(replace(base, quantized_digest="", **changes))
            db.execute(update(tables.bases).where(named).values(body=body))
        return self.base(identifier)

    def set_quantized(self, identifier: str, digest: str) -> types.BaseModel:
        """Says which quantised form of a base is the newest."""
        with self._write() as db:
            named = tables.bases.c.id == identifier
            db.execute(update(tables.bases).where(named).values(quantized_digest=digest))
        return self.base(identifier)

    def add_dataset(self, dataset: types.Dataset) -> types.Dataset:
        """Registers a dataset; the same content under the same id is no error."""
        with self._write() as db:
            row = self._insert(db, tables.datasets, "datasets", dataset.id, dataset.digest, dataset)
        return records.dataset_of(row)

    def dataset(self, identifier: str) -> types.Dataset:
        """Returns a dataset."""
        return records.dataset_of(self._get(tables.datasets, "datasets", identifier))

    def datasets(self) -> list[types.Dataset]:
        """Returns all datasets, by id."""
        return [records.dataset_of(row) for row in self._all(select(tables.datasets).order_by(tables.datasets.c.id))]

    def _remove_dataset(self, db: Connection, dataset: types.Dataset, users: Sequence[str]) -> None:
        if users:
            others = f" and {len(users) - 1} more" if len(users) > 1 else ""
            problem = f"jobs/{users[0]}{others} works on datasets/{dataset.id}: cancel it, or wait until it has ended"
            raise FailedPrecondition(problem, field="name", reason="DATASET_IN_USE")
        db.execute(delete(tables.datasets).where(tables.datasets.c.id == dataset.id))

    def model(self, identifier: str) -> types.Model:
        """Returns a model with its aliases."""
        row = self._get(tables.models, "models", identifier)
        return self._model(row)

    def models(self) -> list[types.Model]:
        """Returns all models, by id."""
        return [self._model(row) for row in self._all(select(tables.models).order_by(tables.models.c.id))]

    def versions(self, model: str) -> list[types.ModelVersion]:
        """Returns all versions of a model, newest first."""
        self._get(tables.models, "models", model)
        c = tables.versions.c
        return [
            records.version_of(row)
            for row in self._all(select(tables.versions).where(c.model == model).order_by(c.number.desc()))
        ]

    def _insert(
        self, db: Connection, table: Any, collection: str, identifier: str, digest: str, value: Any
    ) -> dict[str, Any]:
        row = db.execute(select(table).where(table.c.id == identifier)).mappings().first()
        if row is None:
            values = {"id": identifier, "digest": digest, "body": records.body(value), "create_time": now()}
            with sealed_for(tenant_of(identifier)):
                db.execute(insert(table).values(values))
            return values
        if row["digest"] != digest:
            raise AlreadyExists(f"{collection}/{identifier} exists with other content", reason="CONTENT_DIFFERS")
        return dict(row)

    def _model(self, row: records.Row) -> types.Model:
        c = tables.versions.c
        with self._read() as db:
            latest = db.execute(select(func.max(c.number)).where(c.model == row["id"])).scalar() or 0
        return types.Model(row["id"], latest, tuple(self.aliases_of(row["id"])), row["create_time"])


def _on_terms_of(base: types.BaseModel, first: types.BaseModel) -> types.BaseModel:
    return replace(base, provider=first.provider, license=first.license, terms=first.terms)
