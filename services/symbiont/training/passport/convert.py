"""Passports as messages."""

import json

from symbiont.api.training.v1 import passport_pb2 as pb
from symbiont.training.convert import reproduction_to_proto, spec_to_proto, version_to_proto
from symbiont.training.passport.passport import Base, Passport, Rows
from symbiont.training.promotion.convert import decision_to_proto


def passport_to_proto(passport: Passport) -> pb.ModelPassport:
    """A passport as its message."""
    environment = passport.environment
    return pb.ModelPassport(
        model_version=version_to_proto(passport.version),
        spec=spec_to_proto(passport.spec),
        files=passport.files,
        bases=[_base_to_proto(base) for base in passport.bases],
        datasets=[_rows_to_proto(rows) for rows in passport.datasets],
        environment=pb.TrainingEnvironment(**environment.model_dump()) if environment else None,
        decisions=[decision_to_proto(decision) for decision in passport.decisions],
        reproductions=[reproduction_to_proto(job) for job in passport.reproductions],
    )


def _base_to_proto(base: Base) -> pb.PassportBase:
    name = f"bases/{base.name}" if base.name else ""
    return pb.PassportBase(digest=base.digest, name=name, entries=base.entries)


def _rows_to_proto(rows: Rows) -> pb.PassportDataset:
    return pb.PassportDataset(
        digest=rows.digest,
        names=[f"datasets/{name}" for name in rows.names],
        role=pb.DatasetRole.Value(f"DATASET_ROLE_{rows.role}"),
        row_count=rows.row_count,
        parents=[parent.digest for parent in rows.lineage.parents],
        transforms=[
            json.dumps({"kind": s.kind, "settings": s.settings}, ensure_ascii=False) for s in rows.lineage.steps
        ],
    )
