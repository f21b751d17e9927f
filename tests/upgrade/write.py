"""Writes the state of a suite of this version, with what it answers, for later versions to be tested on.

`python tests/upgrade/write.py` at a release packs a home into `tests/upgrade/states/VERSION.tar.xz`: three models, a
catalogue, a training that is paused. It has made-up rows and tiny random bases only.
"""

import json
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.tasks import HEADS
from support.tiny import csv_of, labelled_rows, save_base
from support.waiting import until_sync
from symbiont.api.training.v1.training_job_pb2 import JOB_STATE_PAUSED
from symbiont.cli.target import endpoints_of
from symbiont.client import Client, training_spec
from symbiont.local.home import Home
from symbiont.local.stack import Stack
from upgrade.answers import CATALOGUE, answers

STATES = Path(__file__).parent / "states"
# What belongs to processes, and not to the state.
LEFT_OUT = ("logs", "triton", "lock", "run.json")


def fill(client: Client, folder: Path) -> None:
    """Leaves something of every kind."""
    client.register_base_model("tiny", folder=save_base(folder / "tiny"))
    (folder / "rows.csv").write_bytes(csv_of(labelled_rows(160)))
    client.create_dataset("rows", folder / "rows.csv")
    many = folder / "many.jsonl"
    many.write_text("\n".join(map(json.dumps, HEADS["multi-label"].rows(160))), encoding="utf-8")
    client.create_dataset("many", many, label_kind="classes")
    common = {"base_model": "tiny", "epochs": 2, "batch_size": 8}
    learnt = [
        training_spec(dataset="rows", model="mood", method="lora", **common),
        training_spec(dataset="rows", model="mood", method="lora", start_from="mood/versions/1", **common),
        training_spec(dataset="many", model="topics", method="full", head="multi-label", **common),
        training_spec(dataset="rows", model="near", method="houlsby", head="embedding", **common),
    ]
    for spec in learnt:
        job = client.create_training_job(spec).name
        list(client.watch_training_job(job))
        client.promote(client.get_training_job(job).model_version)
    client.create_catalogue(CATALOGUE, "near")
    client.update_catalogue_entries(CATALOGUE, [(f"entry-{n}", text) for n, (text, _) in enumerate(labelled_rows(12))])
    more = {**common, "epochs": 40, "checkpoint_interval": 50}
    job = client.create_training_job(training_spec(dataset="rows", model="paused", **more)).name
    until_sync(lambda: client.get_training_job(job).progress.step > 60, 120)
    client.pause_training_job(job)
    until_sync(lambda: client.get_training_job(job).state == JOB_STATE_PAUSED, 60)


def main() -> int:
    """Writes the state; returns the exit status, 1 where that version's is written already."""
    target = STATES / f"{version('symbiont')}.tar.xz"
    if target.exists():
        print(f"{target} is what a released version wrote, which stays as it is: say another version in pyproject.toml")
        return 1
    with tempfile.TemporaryDirectory() as name:
        home = Home(Path(name) / "home")
        with Stack(home, insecure=True) as stack:
            stack.wait_ready()
            with Client(endpoints_of(stack.record.addresses)) as client:
                fill(client, Path(name))
                said = answers(client)
        (home.root / "answers.json").write_text(json.dumps(said, ensure_ascii=False, indent=1), encoding="utf-8")
        target.parent.mkdir(exist_ok=True)
        with tarfile.open(target, "w:xz", preset=9) as archive:
            for path in sorted(home.root.iterdir()):
                if path.name not in LEFT_OUT:
                    archive.add(path, path.name)
        print(f"{target.name}: {target.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
