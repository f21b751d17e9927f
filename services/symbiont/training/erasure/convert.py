"""Messages <-> values of erasure, as pure functions."""

from symbiont.api.training.v1 import erasure_pb2 as pb
from symbiont.training.erasure.types import Forgotten


def forgotten_to_proto(done: Forgotten) -> pb.ForgetSubjectResponse:
    """What was found of a subject, and done."""
    touched = done.touched
    return pb.ForgetSubjectResponse(
        subject_digest=done.subject_digest,
        datasets=[
            pb.ErasedDataset(
                names=[f"datasets/{name}" for name in rows.names],
                digest=rows.digest,
                rows=rows.numbers,
                new_digest=done.new_digests.get(rows.digest, ""),
            )
            for rows in touched.rows
        ],
        training_jobs=[f"jobs/{job}" for job in touched.jobs],
        checkpoints=[
            pb.ErasedCheckpoint(training_job=f"jobs/{job}", digest=digest) for job, digest in touched.checkpoints
        ],
        model_versions=[
            pb.ErasedVersion(
                name=learnt.version.name,
                bundle_digest=learnt.version.bundle_digest,
                base_digest=learnt.own_base,
                aliases=learnt.aliases,
            )
            for learnt in touched.versions
        ],
        base_models=[pb.ErasedBase(name=f"bases/{base.id}", digest=base.digest) for base in touched.bases],
        retraining_jobs=[f"jobs/{job}" for job in done.retraining],
        not_retrained=[pb.NotRetrained(model_version=name, reason=reason) for name, reason in done.not_retrained],
    )
