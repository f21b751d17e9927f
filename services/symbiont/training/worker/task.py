"""What one attempt is asked to do, and the rows that it works on."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from symbiont.bundle import BusinessField
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import InvalidArgument
from symbiont.training.data.rows import Label, Row, read_rows
from symbiont.training.heads import Head, Material, head_for
from symbiont.training.heads.fields import encode_fields, fit_fields
from symbiont.training.spec import TrainingSpec
from symbiont.training.types import Inputs
from symbiont.training.worker.batches import split_groups, split_holdout
from symbiont.training.worker.examples import Encoded, Tokenize


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
    """Rows to learn from, or to judge by."""

    rows: Sequence[Row]

    @cached_property
    def texts(self) -> list[str]:
        """Their first texts."""
        return [row.text for row in self.rows]

    @cached_property
    def labels(self) -> list[str]:
        """What their labels are called: rows of one name are alike to whoever splits or counts them."""
        return strata([row.label for row in self.rows])


@dataclass(frozen=True)
class Task:
    """What is learnt, and by what it is judged: a head with the settings that it made of the rows, and the fields that
    it gets beside the texts."""

    head: Head
    settings: Any
    fields: Sequence[BusinessField]
    kept: Material
    held: Material


def make_task(attempt: Attempt, tokenize: Tokenize, kept: Sequence[Row], held: Sequence[Row]) -> Task:
    """Tokenizes rows to learn from and to judge by, as the head of the attempt takes them."""
    head, asked = head_for(attempt.spec)
    settings, fields = head.fit(asked, kept), fields_of(attempt, kept)
    sides = (make_material(attempt, tokenize, settings, fields, rows) for rows in (kept, held))
    return Task(head, settings, fields, *sides)


def fields_of(attempt: Attempt, kept: Sequence[Row]) -> Sequence[BusinessField]:
    """Returns the business fields that the spec asks for, as the rows to learn from have them."""
    asked = attempt.spec.business_fields
    return fit_fields(list(zip(asked.names, asked.kinds, strict=True)), kept) if asked else ()


def make_material(
    attempt: Attempt, tokenize: Tokenize, settings: Any, fields: Sequence[BusinessField], rows: Sequence[Row]
) -> Material:
    """Tokenizes rows as the head takes them, with the settings that it made, and encodes their fields."""
    head, _ = head_for(attempt.spec)
    made = head.material(settings, rows, partial(_encode, tokenize, attempt), attempt.max_tokens)
    if not fields:
        return made
    # Heads that take fields have an example for each row.
    pairs = zip(made.examples, rows, strict=True)
    return replace(made, examples=[replace(one, features=encode_fields(fields, row)) for one, row in pairs])


def _encode(tokenize: Tokenize, attempt: Attempt, texts: Sequence[str], **how: Any) -> list[Encoded]:
    return tokenize(attempt.inputs.tokenizer_digest, texts, attempt.max_tokens, **how)


def read_texts(artifacts: ArtifactStore, spec: TrainingSpec, inputs: Inputs) -> tuple[Texts, Texts]:
    """Returns what to learn from and what to judge by."""
    rows = list(read_rows(artifacts, inputs.dataset_digest))
    if inputs.evaluation_dataset_digest:
        return Texts(rows), Texts(list(read_rows(artifacts, inputs.evaluation_dataset_digest)))
    fraction, seed = spec.holdout_fraction or 0.2, spec.hyperparameters.seed
    if any(row.group for row in rows):
        kept, held = split_groups([row.group for row in rows], fraction, seed)
    else:
        # Where labels are not read, none may keep a row from being held out.
        labels = [None if spec.masked_tokens else row.label for row in rows]
        kept, held = split_holdout(strata(labels), fraction, seed)
    return Texts([rows[i] for i in kept]), Texts([rows[i] for i in held])


def strata(labels: Sequence[Label]) -> list[str]:
    """Names labels so that rows of one name are alike: classes by theirs, numbers by their tenth, parts by kind."""
    numbers = [label for label in labels if isinstance(label, float)]
    edges = np.quantile(numbers, np.linspace(0.1, 0.9, 9)) if numbers else np.zeros(0)
    names = [_stratum(label, edges) for label in labels]
    counts = Counter(names)
    # A mixture that occurs once cannot be on both sides. A class that does is refused before this.
    return [
        name if counts[name] > 1 or isinstance(label, str) else "" for name, label in zip(names, labels, strict=True)
    ]


def _stratum(label: Label, edges: "np.ndarray[Any, Any]") -> str:
    if isinstance(label, str):
        return label
    if isinstance(label, float):
        return str(int(np.searchsorted(edges, label)))
    parts = [part if isinstance(part, str) else str(part[2:]) for part in label or ()]
    return "|".join(sorted(set(parts)))


def width(fields: Sequence[BusinessField]) -> int:
    """Returns how many values business fields are to a head."""
    return sum(field.width for field in fields)
