"""What one attempt is asked to do, and the rows that it works on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import InvalidArgument
from symbiont.training.data.rows import read_rows
from symbiont.training.spec import TrainingSpec
from symbiont.training.types import Inputs
from symbiont.training.worker.batches import split_holdout


@dataclass(frozen=True)
class Attempt:
    """What an attempt is asked to do.

    `finish`: train no more, and store the best that an attempt before has left. `micro_batches` of 0 are as many as the
    hyperparameters say.
    """

    job: str
    spec: TrainingSpec
    inputs: Inputs
    checkpoint_digest: str
    best_digest: str = ""
    best_loss: float | None = None
    micro_batches: int = 0
    finish: bool = False

    @property
    def max_tokens(self) -> int:
        """Where texts are cut; the controller filled it in from the base when the job was created."""
        if self.spec.hyperparameters.max_tokens is None:
            raise InvalidArgument("spec.hyperparameters.max_tokens", "the controller did not fill it in")
        return self.spec.hyperparameters.max_tokens


@dataclass(frozen=True)
class Texts:
    """Texts with their labels."""

    texts: Sequence[str]
    labels: Sequence[str]


def read_texts(artifacts: ArtifactStore, spec: TrainingSpec, inputs: Inputs) -> tuple[Texts, Texts]:
    """Returns what to learn from and what to judge by."""
    rows: list[Any] = list(read_rows(artifacts, inputs.dataset_digest))
    if inputs.evaluation_dataset_digest:
        held = list(read_rows(artifacts, inputs.evaluation_dataset_digest))
    else:
        kept, out = split_holdout([row.label for row in rows], spec.holdout_fraction or 0.2, spec.hyperparameters.seed)
        rows, held = [rows[i] for i in kept], [rows[i] for i in out]
    return _texts(rows), _texts(held)


def _texts(rows: Sequence[Any]) -> Texts:
    return Texts([row.text for row in rows], [row.label for row in rows])
