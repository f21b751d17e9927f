"""Between the messages of ReleaseService and values."""

from google.protobuf.timestamp_pb2 import Timestamp

from symbiont.api.inference.v1 import release_pb2 as pb
from symbiont.inference.releases.disagreements import Disagreement
from symbiont.inference.releases.releases import Observation
from symbiont.inference.releases.rules import p99_seconds
from symbiont.inference.releases.trial import Compared, Seen
from symbiont.inference.releases.verdict import Verdict
from symbiont.inference.types import ModelVersion


def observation_to_proto(observation: Observation) -> pb.ReleaseObservation:
    """Makes a ReleaseObservation."""
    trial = observation.trial
    return pb.ReleaseObservation(
        release=trial.release.name,
        candidate_in_use=observation.in_use,
        baseline=_seen_to_proto(observation.baseline, trial.baseline),
        candidate=_seen_to_proto(trial.release.candidate, trial.candidate),
        shadow=_compared_to_proto(trial.compared),
    )


def disagreement_to_proto(found: Disagreement) -> pb.Disagreement:
    """Makes a Disagreement."""
    time = Timestamp()
    time.FromDatetime(found.time)
    return pb.Disagreement(
        input_sha256=found.input_sha256,
        baseline=_verdict_to_proto(found.baseline_version, found.baseline),
        candidate=_verdict_to_proto(found.candidate_version, found.candidate),
        time=time,
    )


def _seen_to_proto(version: ModelVersion, seen: Seen) -> pb.VersionObservation:
    return pb.VersionObservation(
        model_version=version.name,
        call_count=seen.calls,
        failed_call_count=seen.failed,
        p99_seconds=p99_seconds(seen.times),
        labels=[pb.LabelCount(label=label, row_count=rows) for label, rows in seen.labels.most_common()],
    )


def _compared_to_proto(compared: Compared) -> pb.ShadowObservation:
    return pb.ShadowObservation(
        row_count=compared.rows,
        disagreement_count=compared.differing,
        mean_score_shift=compared.shift / compared.rows if compared.rows else 0.0,
        missed_row_count=compared.missed,
    )


def _verdict_to_proto(version: ModelVersion, verdict: Verdict) -> pb.ScoredLabel:
    return pb.ScoredLabel(model_version=version.name, label=verdict.label, probability=verdict.probability)
