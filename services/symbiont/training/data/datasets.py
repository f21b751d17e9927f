"""Checks an uploaded file row by row and stores it as an artifact of one canonical form.

The stored form is `rows.jsonl`, one JSON object a line in the order of the file: the same rows give the same digest,
whatever format they came in.
"""

import math
import tempfile
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from symbiont.common.access.views import owner_of
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.encryption import PLAIN, Seals
from symbiont.common.errors import AlreadyExists, InvalidArgument, ResourceExhausted
from symbiont.training.data.cells import row_of
from symbiont.training.data.header import Header
from symbiont.training.data.readers import FILE, READERS
from symbiont.training.data.rows import KIND, ROWS, TENANT, LabelKind, Row, row_to_line
from symbiont.training.storage import Room, RoomOf, any_room
from symbiont.training.store import Store
from symbiont.training.types import Dataset

MAX_LABELS = 1_000


@dataclass
class _Found:
    """What was seen of the labels; `low` and `high` are of those that are numbers."""

    rows: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    low: float = math.inf
    high: float = -math.inf

    def note(self, row: Row) -> None:
        self.rows += 1
        self.labels.update(names_of(row))
        if isinstance(row.label, float):
            self.low, self.high = min(self.low, row.label), max(self.high, row.label)


class Upload:
    """The bytes of one upload, kept in a temporary file until they are checked; encrypted, where `seals` are on."""

    def __init__(self, header: Header, max_bytes: int, seals: Seals = PLAIN, room: Room = Room()) -> None:  # noqa: B008, frozen
        """`room` is what its owner may store: neither the file nor its rows may be more.

        Raises:
            InvalidArgument: the header is wrong.
            ResourceExhausted: there is no room, or not for as much as the header says.
        """
        self.header = header.checked()
        self._max_bytes = max_bytes
        self._room = room
        self._check_size(self.header.byte_count)
        self._folder = tempfile.TemporaryDirectory(prefix="symbiont-upload-")
        self._file = seals.spool(Path(self._folder.name) / "upload")
        self._rows = seals.spool(Path(self._folder.name) / ROWS)
        self._found = _Found()
        self.byte_count = 0

    def write(self, chunk: bytes) -> None:
        """Adds the next bytes."""
        self.byte_count += len(chunk)
        self._check_size(self.byte_count)
        self._file.write(chunk)

    def check(self) -> None:
        """Checks every row; nothing is stored."""
        header, found = self.header, self._found
        if header.byte_count and header.byte_count != self.byte_count:
            problem = f"it says {header.byte_count}, {self.byte_count} came: the upload broke, or the file changed"
            raise InvalidArgument("header.byte_count", problem, reason="UPLOAD_INCOMPLETE")
        # Closed here: a reader that a bad row stops would keep the upload open until it is collected.
        with self._file.open() as stream, closing(READERS[header.format](stream, header.columns)) as rows:
            for number, cells in rows:
                row = row_of(number, cells, header)
                # What is packed, or repeated, may be many times as long as what came.
                self._rows.write(row_to_line(row))
                self._check_size(self._rows.size)
                found.note(row)
        _check_found(LabelKind(header.label_kind), found)

    def store(self, artifacts: ArtifactStore) -> Dataset:
        """Stores the rows that were checked."""
        header, found = self.header, self._found
        fields: dict[str, Any] = {"kind": "dataset", "format_version": 1, "rows": found.rows}
        if header.label_kind != LabelKind.CLASS:
            fields["label_kind"] = header.label_kind
        if owner := owner_of(header.id):
            # The same rows are another artifact for each tenant: nobody's deletion or erasure is felt by others.
            fields[TENANT] = owner
        digest = artifacts.put(KIND, {ROWS: self._rows}, fields)
        return Dataset(
            id=header.id,
            format=header.format,
            text_column=header.text_column,
            label_column=header.label_column,
            row_count=found.rows,
            byte_count=self.byte_count,
            label_counts=tuple(sorted(found.labels.items())),
            digest=digest,
            label_kind=header.label_kind,
            label_range=(found.low, found.high) if header.label_kind == LabelKind.NUMBER else (0.0, 0.0),
            pair_column=header.pair_column,
            fields=header.fields,
            group_column=header.group_column,
            time_column=header.time_column,
            subject_column=header.subject_column,
        )

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise ResourceExhausted(
                f"the upload, or its rows, are over {self._max_bytes} bytes", field=FILE, reason="UPLOAD_TOO_LARGE"
            )
        self._room.check(max(size, 1))

    @property
    def row_bytes(self) -> int:
        """The size of the rows that were checked."""
        return self._rows.size

    def close(self) -> None:
        """Removes the temporary files."""
        self._file.close()
        self._rows.close()
        self._folder.cleanup()


def keep(upload: Upload, store: Store, artifacts: ArtifactStore, room: RoomOf = any_room) -> Dataset:
    """Stores and registers an upload; when its name is taken, its rows do not stay behind.

    One call at a time: another upload of the same rows shares their artifact, and one of the same tenant its room.
    """
    room(upload.header.id).check(upload.row_bytes)
    dataset = upload.store(artifacts)
    try:
        return store.add_dataset(dataset)
    except AlreadyExists:
        if all(other.digest != dataset.digest for other in store.datasets()):
            artifacts.delete(KIND, dataset.digest)
        raise


def remove(identifier: str, store: Store, artifacts: ArtifactStore) -> None:
    """Deletes a dataset, and its rows unless another one has the same.

    Raises:
        NotFound: no such dataset.
        FailedPrecondition: a job that has not ended works on it.
    """
    dataset = store.delete_dataset(identifier)
    if all(other.digest != dataset.digest for other in store.datasets()):
        artifacts.delete(KIND, dataset.digest)


def names_of(row: Row) -> list[str]:
    """Returns the names that a row's label has in it."""
    if isinstance(row.label, str):
        return [row.label]
    # A place of an answer has no name.
    parts = row.label if isinstance(row.label, tuple) else ()
    return [str(name) for part in parts for name in (part[2:] if isinstance(part, tuple) else (part,))]


def _check_found(kind: LabelKind, found: "_Found") -> None:
    """Checks that there is something to learn."""
    labels, low, high = found.labels, found.low, found.high
    if not found.rows:
        raise InvalidArgument(FILE, "the file has no rows")
    if kind is LabelKind.CLASS and len(labels) == 1:
        raise InvalidArgument(FILE, f"every row has the label {next(iter(labels))!r}: there is nothing to learn")
    if kind in (LabelKind.CLASSES, LabelKind.ENTITIES) and not labels:
        raise InvalidArgument(FILE, "no row has any label: there is nothing to learn")
    if kind is LabelKind.NUMBER and low == high:
        raise InvalidArgument(FILE, f"every row has the label {low:g}: there is nothing to learn")
    check_label_count(len(labels))


def check_label_count(count: int) -> None:
    """Refuses labels that are too many."""
    if count > MAX_LABELS:
        raise InvalidArgument(FILE, f"there are {count} labels, at most {MAX_LABELS} are taken: is this the column?")
