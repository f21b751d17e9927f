"""What a suite is asked on a state, before an upgrade and after it."""

from typing import Any

from support.tiny import labelled_rows
from symbiont.api.training.v1.training_job_pb2 import JobState
from symbiont.client import Client

CATALOGUE = "answers"
TEXTS = [text for text, _ in labelled_rows(8, seed=3)]


def answers(client: Client) -> dict[str, Any]:
    """Returns what is there, and what the models say of the same texts; numbers rounded to 5 digits."""
    return {
        "bases": [base.name for base in client.list_base_models()],
        "datasets": {dataset.name: dataset.row_count for dataset in client.list_datasets()},
        "versions": {
            version.name: version.bundle_digest
            for model in client.list_models()
            for version in client.list_model_versions(model.name)
        },
        "jobs": {job.name: JobState.Name(job.state) for job in client.list_training_jobs()},
        "mood": [named(each.classes) for each in client.predict("mood", TEXTS).predictions],
        "mood/versions/1": [named(each.classes) for each in client.predict("mood/versions/1", TEXTS).predictions],
        "topics": [named(each.labels) for each in client.predict("topics", TEXTS).predictions],
        "nearest": [
            {match.id: round(match.score, 5) for match in found.matches}
            for found in client.search_catalogue(CATALOGUE, TEXTS, top_k=3).rankings
        ],
    }


def named(classes: Any) -> dict[str, float]:
    """Returns probabilities by label."""
    return {each.label: round(each.probability, 5) for each in classes}
