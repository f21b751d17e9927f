"""The passport of a version, collected from the registry and the artifacts; and its report as a page."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from symbiont.bundle import read_manifest
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import IntegrityError, InvalidArgument, NotFound
from symbiont.evaluation import Report, place_of, render_page
from symbiont.training.data.rows import KIND as DATASETS
from symbiont.training.data.rows import read_rows
from symbiont.training.environment import Environment
from symbiont.training.evaluations import read_environment, read_report
from symbiont.training.gate.lineage import Lineage, lineage
from symbiont.training.promotion.types import Decision
from symbiont.training.spec import TrainingSpec
from symbiont.training.store import Store
from symbiont.training.types import Inputs, Job, ModelVersion

BASES = "bases"
LANGUAGES = ("en", "zh")
# Of a manifest's entries, what is longer is no description.
_SHORT = 200
TRAINING, EVALUATION, ANCESTOR = "TRAINING", "EVALUATION", "ANCESTOR"


@dataclass(frozen=True)
class Base:
    """A base: `name` is its id, empty for one that is not registered; `entries` are those of its manifest, if short."""

    digest: str
    name: str
    entries: Mapping[str, str]


@dataclass(frozen=True)
class Rows:
    """A dataset: `names` are ids, `role` is TRAINING, EVALUATION or ANCESTOR; `lineage` is what it was made of."""

    digest: str
    names: tuple[str, ...]
    role: str
    row_count: int
    lineage: Lineage


@dataclass(frozen=True)
class Passport:
    """Everything that a version came out of; `reproductions` are jobs that have ended."""

    version: ModelVersion
    spec: TrainingSpec
    files: Mapping[str, str]
    bases: tuple[Base, ...]
    datasets: tuple[Rows, ...]
    environment: Environment | None
    decisions: tuple[Decision, ...]
    reproductions: tuple[Job, ...]


class Passports:
    """Reads what is on record. Methods block."""

    def __init__(self, store: Store, artifacts: ArtifactStore) -> None:
        self._store = store
        self._artifacts = artifacts

    def passport(self, model: str, number: int) -> Passport:
        """Returns the passport of a version.

        Raises:
            NotFound: no such version, or its bundle is gone.
            IntegrityError: its bundle is damaged.
        """
        version = self._store.version(model, number)
        job = self._store.job(version.job)
        manifest = read_manifest(self._artifacts, version.bundle_digest)
        return Passport(
            version=version,
            spec=job.spec,
            files={name: entry.sha256 for name, entry in manifest.files.items()},
            bases=tuple(self._bases(version.base_digest)),
            datasets=tuple(self._datasets(job.inputs)),
            environment=self._environment(version.evaluation_digest),
            decisions=tuple(reversed(self._store.decisions(model, version=number))),
            reproductions=tuple(j for j in self._store.reproductions(version.name) if j.state.ended),
        )

    def report(self, digest: str, version: str) -> Report:
        """Returns the report of an evaluation, which names the version by its number.

        Raises:
            NotFound: there is none.
        """
        if not digest:
            raise NotFound("it has no report: it was made before there were any, or none could be made", field="name")
        report = read_report(self._artifacts, digest)
        return report.model_copy(update={"origin": report.origin.model_copy(update={"version": version})})

    def page(self, report: Report, language: str, *, with_texts: bool) -> str:
        """Returns a report as a page of HTML.

        Raises:
            InvalidArgument: it is not written in that language.
        """
        language = language or LANGUAGES[0]
        if language not in LANGUAGES:
            raise InvalidArgument("language", f"{language[:20]!r} is none of {', '.join(LANGUAGES)}")
        return render_page(report, language=language, texts=self._texts(report) if with_texts else None)

    def _texts(self, report: Report) -> dict[int, str]:
        """Returns the texts of the hardest rows by their numbers in the report; nothing where the dataset is gone."""
        dataset = report.origin.evaluation_dataset
        places = {row.row: place for row in report.hardest if (place := place_of(row.id, dataset)) is not None}
        wanted = set(places.values())
        try:
            texts = {
                number: " | ".join(filter(None, (row.text, row.pair)))
                for number, row in enumerate(read_rows(self._artifacts, dataset))
                if number in wanted
            }
        except NotFound:
            return {}
        return {row: texts[place] for row, place in places.items()}

    def _environment(self, digest: str) -> Environment | None:
        try:
            return read_environment(self._artifacts, digest) if digest else None
        except (NotFound, IntegrityError):
            return None

    def _bases(self, digest: str) -> Iterator[Base]:
        """Yields a base, and behind it each base that it was made of."""
        names = {base.digest: base.id for base in self._store.bases()}
        while digest:
            try:
                manifest = self._artifacts.manifest(BASES, digest)
            except NotFound:
                yield Base(digest, names.get(digest, ""), {})
                return
            texts = {name: str(value) for name, value in manifest.items() if isinstance(value, str | int | float)}
            yield Base(digest, names.get(digest, ""), {n: text for n, text in texts.items() if len(text) <= _SHORT})
            digest = str(manifest.get("parent") or "")

    def _datasets(self, inputs: Inputs) -> Iterator[Rows]:
        """Yields what was learnt from and judged by, and behind them what these were made of, each once."""
        names: dict[str, list[str]] = {}
        for dataset in self._store.datasets():
            names.setdefault(dataset.digest, []).append(dataset.id)
        waiting = [(inputs.dataset_digest, TRAINING), (inputs.evaluation_dataset_digest, EVALUATION)]
        seen = {""}
        while waiting:
            digest, role = waiting.pop(0)
            if digest in seen:
                continue
            seen.add(digest)
            made_of, count = self._made_of(digest)
            yield Rows(digest, tuple(sorted(names.get(digest, ()))), role, count, made_of)
            waiting += [(parent.digest, ANCESTOR) for parent in made_of.parents]

    def _made_of(self, digest: str) -> tuple[Lineage, int]:
        try:
            manifest = self._artifacts.manifest(DATASETS, digest)
            return lineage(self._artifacts, digest), int(manifest.get("rows", 0))
        except NotFound:
            return Lineage(), 0
