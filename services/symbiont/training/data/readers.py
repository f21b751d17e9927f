"""Reads rows out of the file formats that callers upload.

A reader yields (row number as a person counts, text, label) and raises InvalidArgument for what is wrong with the file.
To add a format: one function and one line in `READERS`.
"""

import csv
import json
import re
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from symbiont.common.errors import InvalidArgument

FILE = "chunk"
MAX_LINE_BYTES = 1 << 22
Row = tuple[int, Any, Any]
Reader = Callable[[Path, str, str], Generator[Row]]


def read_csv(path: Path, text_column: str, label_column: str) -> Generator[Row]:
    """Reads comma-separated values with a header line (RFC 4180)."""
    return _read_delimited(path, text_column, label_column, ",")


def read_tsv(path: Path, text_column: str, label_column: str) -> Generator[Row]:
    """Reads tab-separated values with a header line."""
    return _read_delimited(path, text_column, label_column, "\t")


def read_jsonl(path: Path, text_column: str, label_column: str) -> Generator[Row]:
    """Reads one JSON object a line."""
    with closing(_lines(path)) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as exc:
                raise InvalidArgument(FILE, f"line {number} is not JSON: {exc.msg} at column {exc.colno}") from exc
            except (ValueError, RecursionError) as exc:
                raise InvalidArgument(FILE, f"line {number} has too deep a structure, or too long a number") from exc
            if not isinstance(row, dict):
                raise InvalidArgument(FILE, f"line {number} is not a JSON object")
            _require_columns(list(row), text_column, label_column, f"line {number}")
            yield number, row[text_column], row[label_column]


def read_parquet(path: Path, text_column: str, label_column: str) -> Generator[Row]:
    """Reads Apache Parquet, a batch of rows at a time."""
    # A quarter of a second that only those spend who send Parquet.
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    try:
        with pq.ParquetFile(path) as file:
            _require_columns(file.schema_arrow.names, text_column, label_column, "the file")
            number = 0
            for batch in file.iter_batches(batch_size=4096, columns=[text_column, label_column]):
                for text, label in zip(
                    batch.column(text_column).to_pylist(), batch.column(label_column).to_pylist(), strict=True
                ):
                    number += 1
                    yield number, text, label
    except (pa.ArrowException, OSError) as exc:
        raise InvalidArgument(FILE, f"the file is not readable Parquet, it may be cut short: {exc}") from exc


READERS: dict[str, Reader] = {"CSV": read_csv, "TSV": read_tsv, "JSONL": read_jsonl, "PARQUET": read_parquet}


def _read_delimited(path: Path, text_column: str, label_column: str, delimiter: str) -> Generator[Row]:
    # csv's own limit for a field is 128 KiB, less than a text may have.
    csv.field_size_limit(MAX_LINE_BYTES)
    # Closed here: what a bad row raises keeps it, and its file, until it is collected.
    with closing(_lines(path)) as lines:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        try:
            header = next(reader, [])
            if header:
                _require_columns(header, text_column, label_column, "the header line")
                text, label = header.index(text_column), header.index(label_column)
            for number, row in enumerate(reader, start=1):
                if not row:
                    continue
                if len(row) != len(header):
                    raise InvalidArgument(FILE, f"row {number} has {len(row)} fields, the header has {len(header)}")
                yield number, row[text], row[label]
        except csv.Error as exc:
            raise InvalidArgument(FILE, f"line {reader.line_num} cannot be read: {exc}") from exc


def _lines(path: Path) -> Generator[str]:
    with path.open("rb") as stream:
        # Bounded: a file without line ends must not come into memory whole.
        for number, line in enumerate(iter(partial(stream.readline, MAX_LINE_BYTES + 1), b""), start=1):
            if len(line) > MAX_LINE_BYTES:
                raise InvalidArgument(FILE, f"line {number} is over {MAX_LINE_BYTES} bytes")
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as exc:
                raise InvalidArgument(
                    FILE, f"line {number} is not UTF-8: byte 0x{line[exc.start]:02x} at position {exc.start + 1}"
                ) from exc


def _require_columns(present: list[str], text_column: str, label_column: str, where: str) -> None:
    for field, column in (("text_column", text_column), ("label_column", label_column)):
        if column not in present:
            # Only what looks like a name is repeated: without a header line a customer's text stands here.
            names = [repr(c) for c in present if re.fullmatch(r"\w{1,40}", c)][:20]
            listed = f": {', '.join(names)}" if names else ""
            problem = f"{where} has no column {column!r}; it has {len(present)} columns{listed}"
            raise InvalidArgument(f"header.dataset.{field}", problem)
