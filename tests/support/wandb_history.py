"""What stands in the files of W&B's offline runs, read by W&B's own messages."""

import json
from pathlib import Path
from typing import Any

from symbiont.training.tracking.wandb_files import records


def files(folder: Path, run: str) -> list[Path]:
    """Returns the files of a run, oldest first."""
    return sorted((folder / "wandb").glob(f"offline-run-*/run-{run}.wandb"))


def messages(path: Path, kind: str) -> list[Any]:
    """Returns the messages of a kind: `run`, `history`, `summary`, `exit`."""
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    read = [Record.FromString(record) for record in records(path)]
    return [getattr(record, kind) for record in read if record.WhichOneof("record_type") == kind]


def history(folder: Path, run: str) -> list[dict[str, Any]]:
    """Returns the lines of a run's history over all its files."""
    return [
        {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in line.item}
        for file in files(folder, run)
        for line in messages(file, "history")
    ]


def config(path: Path) -> dict[str, Any]:
    """Returns the configuration that a file begins with."""
    (run,) = messages(path, "run")[:1]
    return {item.key: json.loads(item.value_json) for item in run.config.update}
