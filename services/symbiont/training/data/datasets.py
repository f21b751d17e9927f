"""Checks an uploaded file row by row and stores it as an artifact of one canonical form.

The stored form is `rows.jsonl`, one `{"label":...,"text":...}` a line in the order of the file: the same rows give the
same digest, whatever format they came in.
"""

import math
import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import IO, Any

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import AlreadyExists, InvalidArgument, ResourceExhausted
from symbiont.training.data.header import Header
from symbiont.training.data.readers import FILE, READERS
from symbiont.training.data.rows import KIND, ROWS, Row, row_to_line
from symbiont.training.store import Store
from symbiont.training.types import Dataset

MAX_TEXT_BYTES = 1 << 18
MAX_LABELS = 1_000


class Upload:
    """The bytes of one upload, kept in a temporary file until they are checked."""

    def __init__(self, header: Header, max_bytes: int) -> None:
        self.header = header.checked()
        self._max_bytes = max_bytes
        self._check_size(self.header.byte_count)
        self._folder = tempfile.TemporaryDirectory(prefix="symbiont-upload-")
        self._path = Path(self._folder.name) / "upload"
        self._stream: IO[bytes] = self._path.open("wb")
        self._rows = Path(self._folder.name) / ROWS
        self._labels: Counter[str] = Counter()
        self.byte_count = 0

    def write(self, chunk: bytes) -> None:
        """Adds the next bytes."""
        self.byte_count += len(chunk)
        self._check_size(self.byte_count)
        self._stream.write(chunk)

    def check(self) -> None:
        """Checks every row; nothing is stored."""
        self._stream.close()
        header, labels = self.header, self._labels
        if header.byte_count and header.byte_count != self.byte_count:
            problem = f"it says {header.byte_count}, {self.byte_count} came: the upload broke, or the file changed"
            raise InvalidArgument("header.byte_count", problem, reason="UPLOAD_INCOMPLETE")
        # Closed here: a reader that a bad row stops would keep the upload open until it is collected.
        reading = closing(READERS[header.format](self._path, header.text_column, header.label_column))
        with self._rows.open("wb") as out, reading as rows:
            for number, text, label in rows:
                name = _label(number, label)
                out.write(row_to_line(Row(_text(number, text), name)))
                labels[name] += 1
        _check_labels(labels)

    def store(self, artifacts: ArtifactStore) -> Dataset:
        """Stores the rows that were checked."""
        header, labels = self.header, self._labels
        fields = {"kind": "dataset", "format_version": 1, "rows": labels.total()}
        digest = artifacts.put(KIND, {ROWS: self._rows}, fields)
        return Dataset(
            id=header.id,
            format=header.format,
            text_column=header.text_column,
            label_column=header.label_column,
            row_count=labels.total(),
            byte_count=self.byte_count,
            label_counts=tuple(sorted(labels.items())),
            digest=digest,
        )

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise ResourceExhausted(
                f"the upload is over {self._max_bytes} bytes", field=FILE, reason="UPLOAD_TOO_LARGE"
            )

    def close(self) -> None:
        """Removes the temporary files."""
        self._stream.close()
        self._folder.cleanup()


def keep(upload: Upload, store: Store, artifacts: ArtifactStore) -> Dataset:
    """Stores and registers an upload; when its name is taken, its rows do not stay behind.

    One call at a time: another upload of the same rows shares their artifact.
    """
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


def _text(number: int, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InvalidArgument(FILE, f"row {number} has no text")
    if len(value.encode("utf-8", "surrogatepass")) > MAX_TEXT_BYTES:
        raise InvalidArgument(FILE, f"the text of row {number} is over {MAX_TEXT_BYTES} bytes")
    _check_unicode(number, "text", value)
    return value


def _check_unicode(number: int, what: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as exc:
        raise InvalidArgument(FILE, f"the {what} of row {number} is not Unicode: a lone surrogate") from exc


def _label(number: int, value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        raise InvalidArgument(FILE, f"row {number} has no label")
    if not isinstance(value, str | int | float):
        raise InvalidArgument(FILE, f"the label of row {number} is neither text nor a number")
    name = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    if not name or len(name) > 256:
        raise InvalidArgument(FILE, f"the label of row {number} must have 1 to 256 characters")
    _check_unicode(number, "label", name)
    return name


def _check_labels(labels: Counter[str]) -> None:
    if not labels:
        raise InvalidArgument(FILE, "the file has no rows")
    if len(labels) == 1:
        raise InvalidArgument(FILE, f"every row has the label {next(iter(labels))!r}: there is nothing to learn")
    if len(labels) > MAX_LABELS:
        raise InvalidArgument(
            FILE, f"there are {len(labels)} labels, at most {MAX_LABELS} are taken: is this the column?"
        )
