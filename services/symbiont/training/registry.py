"""Base models, datasets, models with their versions and aliases: what has a name and is kept."""

import hashlib
from typing import Any

from sqlalchemy import Select, func, insert, select, update

from symbiont.common.errors import AlreadyExists, NotFound
from symbiont.training import records, tables, types
from symbiont.training.database import Database
from symbiont.training.types import now


class Registry(Database):
    """Named resources. Base models, datasets and versions are written once and never changed; aliases move."""

    def add_base(self, base: types.BaseModel) -> types.BaseModel:
        """Registers a base model; the same content under the same id is no error."""
        # The tokenizer belongs to the content as much as the weights do.
        content = hashlib.sha256(f"{base.digest}:{base.tokenizer_digest}".encode()).hexdigest()
        return records.base_of(self._add(tables.bases, "bases", base.id, content, base))

    def base(self, identifier: str) -> types.BaseModel:
        """Returns a base model."""
        return records.base_of(self._get(tables.bases, "bases", identifier))

    def bases(self) -> list[types.BaseModel]:
        """Returns all base models, by id."""
        return [records.base_of(row) for row in self._all(select(tables.bases).order_by(tables.bases.c.id))]

    def add_dataset(self, dataset: types.Dataset) -> types.Dataset:
        """Registers a dataset; the same content under the same id is no error."""
        return records.dataset_of(self._add(tables.datasets, "datasets", dataset.id, dataset.digest, dataset))

    def dataset(self, identifier: str) -> types.Dataset:
        """Returns a dataset."""
        return records.dataset_of(self._get(tables.datasets, "datasets", identifier))

    def datasets(self) -> list[types.Dataset]:
        """Returns all datasets, by id."""
        return [records.dataset_of(row) for row in self._all(select(tables.datasets).order_by(tables.datasets.c.id))]

    def model(self, identifier: str) -> types.Model:
        """Returns a model with its aliases."""
        row = self._get(tables.models, "models", identifier)
        return self._model(row)

    def models(self) -> list[types.Model]:
        """Returns all models, by id."""
        return [self._model(row) for row in self._all(select(tables.models).order_by(tables.models.c.id))]

    def version(self, model: str, number: int) -> types.ModelVersion:
        """Returns a version of a model."""
        c = tables.versions.c
        rows = self._all(select(tables.versions).where(c.model == model, c.number == number))
        if not rows:
            raise NotFound(f"models/{model}/versions/{number} does not exist", field="name")
        return records.version_of(rows[0])

    def versions(self, model: str) -> list[types.ModelVersion]:
        """Returns all versions of a model, newest first."""
        self._get(tables.models, "models", model)
        c = tables.versions.c
        return [
            records.version_of(row)
            for row in self._all(select(tables.versions).where(c.model == model).order_by(c.number.desc()))
        ]

    def set_alias(self, model: str, alias: str, number: int) -> types.Model:
        """Points an alias at a version that exists."""
        self.version(model, number)
        c = tables.aliases.c
        with self._write() as db:
            revision = (db.execute(select(func.max(c.revision))).scalar() or 0) + 1
            values = {"number": number, "revision": revision, "update_time": now()}
            changed = db.execute(update(tables.aliases).where(c.model == model, c.alias == alias).values(values))
            if changed.rowcount == 0:
                db.execute(insert(tables.aliases).values(model=model, alias=alias, **values))
        return self.model(model)

    def aliases_after(self, revision: int) -> list[types.Alias]:
        """Returns the aliases that changed after a revision, in the order of their changes."""
        c = tables.aliases.c
        return self._aliases(select(tables.aliases).where(c.revision > revision).order_by(c.revision))

    def _add(self, table: Any, collection: str, identifier: str, digest: str, value: Any) -> dict[str, Any]:
        with self._write() as db:
            row = db.execute(select(table).where(table.c.id == identifier)).mappings().first()
            if row is None:
                values = {"id": identifier, "digest": digest, "body": records.body(value), "create_time": now()}
                db.execute(insert(table).values(values))
                return values
            if row["digest"] != digest:
                raise AlreadyExists(f"{collection}/{identifier} exists with other content", reason="CONTENT_DIFFERS")
            return dict(row)

    def _model(self, row: records.Row) -> types.Model:
        c = tables.versions.c
        with self._read() as db:
            latest = db.execute(select(func.max(c.number)).where(c.model == row["id"])).scalar() or 0
        query = select(tables.aliases).where(tables.aliases.c.model == row["id"]).order_by(tables.aliases.c.alias)
        return types.Model(row["id"], latest, tuple(self._aliases(query)), row["create_time"])

    def _aliases(self, query: Select[Any]) -> list[types.Alias]:
        return [
            types.Alias(r["model"], r["alias"], self.version(r["model"], r["number"]), r["revision"], r["update_time"])
            for r in self._all(query)
        ]
