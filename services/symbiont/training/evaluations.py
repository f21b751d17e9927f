"""The evaluation of a version as an artifact: the report, what was said of each row, and on which machine."""

from symbiont.common.artifacts import ArtifactStore
from symbiont.evaluation import Outcome, Report, outcome_from_bytes, outcome_to_bytes
from symbiont.training.environment import Environment

KIND = "evaluations"
REPORT, OUTCOME, INCUMBENT, ENVIRONMENT = "report.json", "outcome.npz", "incumbent.npz", "environment.json"


def store_evaluation(
    artifacts: ArtifactStore,
    report: Report,
    outcome: Outcome,
    environment: Environment,
    incumbent: Outcome | None = None,
) -> str:
    """Stores an evaluation; returns its digest."""
    files: dict[str, bytes] = {
        REPORT: report.to_json().encode(),
        OUTCOME: outcome_to_bytes(outcome),
        ENVIRONMENT: environment.model_dump_json().encode(),
    }
    if incumbent is not None:
        files[INCUMBENT] = outcome_to_bytes(incumbent)
    return artifacts.put(KIND, files, {"kind": "evaluation"})


def read_report(artifacts: ArtifactStore, digest: str) -> Report:
    """Returns the report of an evaluation.

    Raises:
        NotFound: no such evaluation.
        IntegrityError: it is damaged.
    """
    return Report.from_json(artifacts.read(KIND, digest, REPORT))


def read_outcome(artifacts: ArtifactStore, digest: str) -> Outcome:
    """Returns what the version said; errors as of `read_report`."""
    return outcome_from_bytes(artifacts.read(KIND, digest, OUTCOME))


def read_environment(artifacts: ArtifactStore, digest: str) -> Environment:
    """Returns where the evaluation was made; errors as of `read_report`."""
    return Environment.model_validate_json(artifacts.read(KIND, digest, ENVIRONMENT))
