"""The gate as the service has it: checks, a place, a process that does the work, and what the registry says after."""

import asyncio
import hashlib
import os
import signal
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from symbiont.common.artifacts import ArtifactStore, hand_over
from symbiont.common.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
)
from symbiont.common.log import get_logger
from symbiont.common.principal import current_principal
from symbiont.common.resources import check_owned_id, parse_name
from symbiont.common.sealing import open_sealer
from symbiont.common.threads import QUIET
from symbiont.training.data.rows import KIND, LabelKind, read_rows
from symbiont.training.fork_server import ForkServer
from symbiont.training.gate.annotations import AnnotationFormat, export, label
from symbiont.training.gate.lineage import Lineage, Parent, Recorded, lineage
from symbiont.training.gate.pii import names
from symbiont.training.gate.pii.kinds import NAMED
from symbiont.training.gate.results import Report, Suggestion
from symbiont.training.gate.settings import Anonymize, Deduplicate, Message, Prepare, Split, Suggest, Validate
from symbiont.training.gate.storing import parents_of, stored
from symbiont.training.gate.work import Made, Order, Progress, WorkStage, read
from symbiont.training.process import start
from symbiont.training.storage import RoomOf, any_room
from symbiont.training.store import Store
from symbiont.training.store.erasures import latest
from symbiont.training.types import Dataset, now


class DataGate:
    """One work at a time: each takes a core, and the memory of all rows.

    Every name of a method is that of a dataset, `datasets/{dataset}`; `field` of an error is that of the request.
    """

    def __init__(
        self,
        store: Store,
        artifacts: ArtifactStore,
        folder: Path,
        keys: Path | None = None,
        fork_server: ForkServer | None = None,
        room: RoomOf = any_room,
    ) -> None:
        """Orders and logs of processes go to `folder`; `keys` has a file for each key by its name; `room` is what the
        owner of a dataset may store."""
        self._store = store
        self._artifacts = artifacts
        self._folder = folder.absolute()
        self._keys = keys
        self._fork_server = fork_server
        self._room = room
        self._busy = asyncio.Lock()
        # Whoever adds or removes a dataset holds it: two of the same rows share an artifact.
        self.keeping = asyncio.Lock()

    async def prepare(self, name: str, identifier: str, asked: Prepare) -> AsyncGenerator[Progress | Dataset]:
        """Yields how far it is, and at last the dataset that was made.

        Raises:
            InvalidArgument, NotFound: what is asked for is wrong, before any work.
            AlreadyExists: the id is taken by other content.
            ResourceExhausted: there is no room for what would be, or was, made.
            FailedPrecondition: it cannot be done; the message says why.
        """
        check_owned_id("dataset_id", identifier)
        source, order = await asyncio.to_thread(self._order, name, "prepare", asked)
        steps = [(t.kind, t.settings.model_dump(mode="json", exclude_none=True)) for t in asked.transforms]
        key_ids = [self._key_id(order, t.settings) for t in asked.transforms]
        known = await asyncio.to_thread(self._known, identifier, order, list(zip(steps, key_ids, strict=True)))
        if known:
            yield known
            return
        await asyncio.to_thread(self._fit, identifier)
        async with aclosing(self._work(order)) as work:
            async for made in work:
                if isinstance(made, Progress):
                    yield made
                else:
                    await asyncio.to_thread(self._fit, identifier, *made)
                    yield await self._keep(source, identifier, made[0])

    async def split(
        self, name: str, identifiers: tuple[str, str], asked: Split
    ) -> AsyncGenerator[Progress | tuple[Dataset, Dataset]]:
        """Yields how far it is, and at last what to train on and what to test on; errors as of `prepare`."""
        for field, identifier in zip(("train_dataset_id", "test_dataset_id"), identifiers, strict=True):
            check_owned_id(field, identifier)
        if identifiers[0] == identifiers[1]:
            raise InvalidArgument("test_dataset_id", f"{identifiers[1]!r} is the id of the other part, too")
        source, order = await asyncio.to_thread(self._order, name, "split", asked)
        settings = asked.model_dump(mode="json", exclude_none=True)
        known = [
            await asyncio.to_thread(
                self._known, identifier, order, [(("split", {"part": part, "settings": settings}), "")]
            )
            for part, identifier in zip(("TRAIN", "TEST"), identifiers, strict=True)
        ]
        if known[0] and known[1]:
            yield known[0], known[1]
            return
        await asyncio.to_thread(self._fit, identifiers[0])
        async with aclosing(self._work(order)) as work:
            async for made in work:
                if isinstance(made, Progress):
                    yield made
                else:
                    await asyncio.to_thread(self._fit, identifiers[0], *made)
                    train, test = [await self._keep(source, i, m) for i, m in zip(identifiers, made, strict=True)]
                    yield train, test

    async def validate(self, name: str, asked: Validate) -> AsyncGenerator[Progress | Report]:
        """Yields how far it is, and at last the report; errors as of `prepare`."""
        _, order = await asyncio.to_thread(self._order, name, "validate", asked, "validation")
        async with aclosing(self._work(order)) as work:
            async for made in work:
                yield made

    async def suggest(self, name: str, asked: Suggest) -> AsyncGenerator[Progress | list[Suggestion]]:
        """Yields how far it is, and at last the rows; errors as of `prepare`."""
        _, order = await asyncio.to_thread(self._order, name, "suggest", asked, "suggestion")
        async with aclosing(self._work(order)) as work:
            async for made in work:
                yield made

    def export(self, name: str, format: AnnotationFormat, suggestions: Sequence[Suggestion]) -> Iterator[bytes]:
        """Yields the bytes of a file; blocks."""
        source = self._dataset("name", name)
        rows = list(read_rows(self._artifacts, source.digest))
        for place, item in enumerate(suggestions):
            if not 0 <= item.row < len(rows):
                raise InvalidArgument(f"suggestions[{place}].row", f"{item.row} is none of 0 to {len(rows) - 1}")
        yield from export(rows, kind_of(source), source.digest, format, suggestions)

    def check_import(self, name: str, identifier: str) -> None:
        """Raises what `import_labels` would, as far as that is known before the file; blocks."""
        self._dataset("name", name, "header.")
        check_owned_id("header.dataset_id", identifier)
        self._fit(identifier)

    async def import_labels(
        self, name: str, identifier: str, format: AnnotationFormat, content: bytes, *, only_labelled: bool
    ) -> Dataset:
        """Returns a dataset with the labels of a file; errors as of `annotations.label`."""
        source = await asyncio.to_thread(self._dataset, "name", name, "header.")
        settings = {
            "format": format.value,
            "only_labelled": only_labelled,
            "file_digest": hashlib.sha256(content).hexdigest(),
        }

        def make() -> Made:
            rows, kind = list(read_rows(self._artifacts, source.digest)), kind_of(source)
            done = label(rows, kind, source.digest, format, content, only_labelled)
            if kind is LabelKind.NONE:
                # Rows that had no labels have classes now, all of them.
                kind = LabelKind.CLASS
                if without := sum(row.label is None for row in done.rows):
                    problem = f"{without} rows would stay without a label: set it, or label all rows"
                    raise InvalidArgument("header.only_labelled", problem)
            step = Recorded("label_import", settings, len(rows), len(done.rows), done.changed, done.findings)
            return stored(self._artifacts, [Parent(source.digest)], done.rows, kind, [step])

        made = await asyncio.to_thread(make)
        await asyncio.to_thread(self._fit, identifier, made)
        return await self._keep(source, identifier, made)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """While it lasts nothing is made of rows, and no dataset is added or removed."""
        async with self._busy, self.keeping:
            yield

    def lineage(self, dataset: Dataset) -> Lineage:
        """Returns where a dataset comes from; blocks."""
        return lineage(self._artifacts, dataset.digest)

    def _dataset(self, field: str, name: str, under: str = "") -> Dataset:
        return self._store.dataset(parse_name(f"{under}{field}", "datasets", name))

    def _order(self, name: str, word: Any, asked: Any, under: str = "") -> tuple[Dataset, Order]:
        source = self._dataset("name", name)
        parts: list[tuple[str, Message]] = [(under or word, asked)]
        if isinstance(asked, Prepare):
            parts = [(f"transforms[{n}].{t.kind}", t.settings) for n, t in enumerate(asked.transforms)]
        others: dict[str, str] = {}
        keys: dict[str, Path] = {}
        for path, settings in parts:
            if isinstance(settings, Deduplicate | Validate) and settings.against:
                others[settings.against] = self._other(f"{path}.against", settings.against).digest
            if isinstance(settings, Suggest) and settings.learn_from:
                field = f"{path}.learn_from"
                other = self._other(field, settings.learn_from)
                if kind_of(other) is not LabelKind.CLASS:
                    problem = (
                        f"{settings.learn_from} has labels of kind {kind_of(other)}: name one whose rows have a class"
                    )
                    raise InvalidArgument(field, problem)
                others[settings.learn_from] = other.digest
            if isinstance(settings, Anonymize):
                if NAMED & set(settings.kinds):
                    names.check()
                if settings.key:
                    mode = "pseudonyms" if settings.pseudonyms else "tokens"
                    keys[settings.key] = self._key(f"{path}.{mode}.key", settings.key)
        order = Order(
            artifacts=str(self._artifacts.root),
            tenant=current_principal().tenant,
            source=source.digest,
            kind=kind_of(source),
            word=word,
            work=asked,
            others=others,
            keys=keys,
            dates=tuple(name for name, kind in source.fields if kind == "DATE"),
        )
        return source, order

    def _other(self, field: str, name: str) -> Dataset:
        try:
            return self._dataset(field, name)
        except NotFound as exc:
            raise InvalidArgument(field, f"{name} does not exist", reason="NO_SUCH_DATASET") from exc

    def _key(self, field: str, name: str) -> Path:
        file = self._keys / name if self._keys else None
        if file is None or not file.is_file():
            where = "its folder of keys" if self._keys else "any keys (the setting dataset_keys names their folder)"
            raise InvalidArgument(field, f"the service has no key {name!r} in {where}", reason="NO_SUCH_KEY")
        try:
            open_sealer(file)
        except InvalidArgument as exc:
            raise InvalidArgument(field, str(exc).removeprefix("key: "), reason="BAD_KEY") from exc
        return file.absolute()

    def _key_id(self, order: Order, settings: Message) -> str:
        named = isinstance(settings, Anonymize) and settings.key
        return open_sealer(order.keys[settings.key]).key_id if named else ""  # type: ignore[attr-defined]

    def _known(self, identifier: str, order: Order, steps: Sequence[Any]) -> Dataset | None:
        """Returns the dataset of that id when it is what would be made; raises AlreadyExists when it is another."""
        try:
            standing = self._store.dataset(identifier)
        except NotFound:
            return None
        found = self.lineage(standing)
        # What was erased of it since is no other content than was asked for.
        done = [step for step in found.steps if step.kind != "erasure"]
        same = [((step.kind, step.settings), step.key_id) for step in done] == list(steps)
        erasures = self._store.erasures()
        parents = [replace(parent, digest=latest(parent.digest, erasures)) for parent in found.parents]
        if same and parents == parents_of(order):
            return standing
        raise AlreadyExists(f"datasets/{identifier} exists with other content", reason="CONTENT_DIFFERS")

    def _fit(self, identifier: str, *made: Made) -> None:
        """Sees to it that there is room for what was made, or for anything; what does not fit does not stay."""
        try:
            self._room(identifier).check(sum(each.byte_count for each in made) or 1)
        except ResourceExhausted:
            for each in made:
                self._drop(each.digest)
            raise

    async def _keep(self, source: Dataset, identifier: str, made: Made) -> Dataset:
        """Registers what was stored; when its name is taken, its rows do not stay behind."""
        values = made.model_dump(mode="python") | {"id": identifier, "create_time": now()}
        if made.label_kind is LabelKind.CLASS and not source.label_column:
            values["label_column"] = "label"
        dataset = replace(source, **values)

        def keep() -> Dataset:
            if not self._artifacts.exists(KIND, made.digest):
                raise Unavailable(f"the rows of datasets/{identifier} were deleted before it was named; try again")
            if not self._artifacts.exists(KIND, source.digest):
                self._drop(made.digest)
                raise Unavailable(f"the rows of datasets/{source.id} have changed in the meantime; try again")
            try:
                return self._store.add_dataset(dataset)
            except AlreadyExists:
                self._drop(made.digest)
                raise

        async with self.keeping:
            kept = await asyncio.to_thread(keep)
        get_logger().info("dataset made", dataset=identifier, digest=made.digest, rows=made.row_count)
        return kept

    def _drop(self, digest: str) -> None:
        if all(other.digest != digest for other in self._store.datasets()):
            self._artifacts.delete(KIND, digest)

    async def _work(self, order: Order) -> AsyncGenerator[Any]:
        """Yields what a process says; it is over when this is. Its log stays where it failed."""
        if self._busy.locked():
            yield Progress(stage=WorkStage.WAITING)
        async with self._busy:
            self._folder.mkdir(parents=True, exist_ok=True)
            name = uuid.uuid4().hex[:12]
            file, log = self._folder / f"{name}.json", self._folder / f"{name}.log"
            left = hand_over(self._artifacts, order.model_dump_json(exclude_none=True), order.tenant)
            file.write_text(left)
            failed = True
            try:
                async with aclosing(self._process(file, log)) as said:
                    async for values in said:
                        yield read(values)
                failed = False
            except (FailedPrecondition, InvalidArgument) as exc:
                failed = exc.reason == "DIED"
                raise
            finally:
                file.unlink(missing_ok=True)
                if not failed:
                    log.unlink(missing_ok=True)

    async def _process(self, file: Path, log: Path) -> AsyncGenerator[dict[str, Any]]:
        # One thread: what else runs here keeps the other cores.
        environment = {**QUIET, **os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        process = await start(self._fork_server, "gate", ["--order", str(file)], environment, log)
        try:
            result = False
            async for said in process.said():
                result = "progress" not in said
                yield said
            status = await process.status()
            if status == -signal.SIGKILL:
                raise FailedPrecondition("the work was killed, likely for its memory", reason="DIED")
            if not result:
                raise FailedPrecondition(f"the work ended without a result ({status}); its log: {log}", reason="DIED")
        finally:
            await process.end()


def kind_of(dataset: Dataset) -> LabelKind:
    """Returns what the labels of a dataset are."""
    return LabelKind(dataset.label_kind)
