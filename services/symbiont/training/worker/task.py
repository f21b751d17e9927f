"""What one attempt is asked to do, and the rows that it works on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from symbiont.bundle import BundleManifest, BusinessField
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import InvalidArgument
from symbiont.training.data.rows import Row, read_rows
from symbiont.training.heads import OVERLAP, Head, Material, head_for
from symbiont.training.heads.fields import encode_fields, fit_fields
from symbiont.training.spec import TrainingSpec
from symbiont.training.starting import past_of
from symbiont.training.types import Inputs
from symbiont.training.worker.dividing import Divided, divide, strata
from symbiont.training.worker.examples import Encoded, Tokenize


@dataclass(frozen=True)
class Attempt:
    """What an attempt is asked to do.

    `origin` is the job that the bundle is to name as its own, where that is another one.
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
    origin: str = ""

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


def make_task(
    attempt: Attempt,
    tokenize: Tokenize,
    kept: Sequence[Row],
    held: Sequence[Row],
    start: BundleManifest | None = None,
) -> Task:
    """Tokenizes rows to learn from and to judge by, as the head of the attempt takes them.

    `start` is of the bundle that the attempt's job starts from, where it does.
    """
    head, _ = head_for(attempt.spec)
    settings, fields = fitted(attempt, kept, start)
    sides = (make_material(attempt, tokenize, settings, fields, rows) for rows in (kept, held))
    return Task(head, settings, fields, *sides)


def fitted(attempt: Attempt, kept: Sequence[Row], start: BundleManifest | None) -> tuple[Any, Sequence[BusinessField]]:
    """Returns the settings of the head and the business fields, as the rows to learn from have them; both are those of
    the start where there is one."""
    head, settings = head_for(attempt.spec)
    if start:
        return head.fit_as(settings, kept, start.head), start.fields
    asked = attempt.spec.business_fields
    fields = fit_fields(list(zip(asked.names, asked.kinds, strict=True)), kept) if asked else ()
    return head.fit(settings, kept), fields


def make_material(
    attempt: Attempt, tokenize: Tokenize, settings: Any, fields: Sequence[BusinessField], rows: Sequence[Row]
) -> Material:
    """Tokenizes rows as the head takes them, with the settings that it made, and encodes their fields."""
    head, _ = head_for(attempt.spec)
    cut = Cut(attempt.inputs.tokenizer_digest, attempt.max_tokens, windows=attempt.spec.windows)
    return material_of(head, settings, fields, rows, tokenize, cut)


@dataclass(frozen=True)
class Cut:
    """By which tokenizer texts are tokenized, and where they are cut, or with `windows` go on in another window."""

    tokenizer_digest: str
    max_tokens: int
    windows: bool = False


def material_of(
    head: Head,
    settings: Any,
    fields: Sequence[BusinessField],
    rows: Sequence[Row],
    tokenize: Tokenize,
    cut: Cut,
) -> Material:
    """Tokenizes rows as a head with these settings takes them, and encodes their fields."""
    usual = {"stride": cut.max_tokens // OVERLAP} if cut.windows else {}

    def encode(texts: Sequence[str], **how: Any) -> list[Encoded]:
        return tokenize(cut.tokenizer_digest, texts, cut.max_tokens, **usual | how)

    made = head.material(settings, rows, encode, cut.max_tokens)
    if not fields:
        return made
    # Heads that take fields have an example for each row, or for each of its windows.
    encoded = [encode_fields(fields, row) for row in rows]
    owners = [item.text for item in made.encoded] or range(len(rows))
    pairs = zip(made.examples, owners, strict=True)
    return replace(made, examples=[replace(one, features=encoded[owner]) for one, owner in pairs])


def read_divided(artifacts: ArtifactStore, spec: TrainingSpec, inputs: Inputs) -> Divided:
    """Returns what to learn from and what to judge by."""

    def read(digest: str) -> Iterator[Row]:
        rows = read_rows(artifacts, digest)
        # Where labels are not read, none may keep a row from being held out.
        return (replace(row, label=None) for row in rows) if spec.masked_tokens else rows

    return divide(read, inputs.past, past_of(spec, inputs))


def width(fields: Sequence[BusinessField]) -> int:
    """Returns how many values business fields are to a head."""
    return sum(field.width for field in fields)
