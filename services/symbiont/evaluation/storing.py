"""An outcome as bytes: a zip of numpy arrays, read without pickle."""

import io
import json
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from symbiont.common.errors import IntegrityError, SymbiontError
from symbiont.evaluation.outcomes import (
    Answered,
    Classified,
    Compared,
    MultiLabelled,
    Outcome,
    Ragged,
    Retrieved,
    Scored,
    Tagged,
)
from symbiont.evaluation.rows import Rows, Slice

FORMAT_VERSION = 1
Kind = Literal["classified", "multi_labelled", "scored", "tagged", "answered", "retrieved", "compared"]
KINDS: dict[Kind, type[Outcome]] = {
    "classified": Classified,
    "multi_labelled": MultiLabelled,
    "scored": Scored,
    "tagged": Tagged,
    "answered": Answered,
    "retrieved": Retrieved,
    "compared": Compared,
}
_META = "meta"
# What zipfile, numpy and json say of bytes that are not theirs, and outcomes of values that do not fit.
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    # Of numpy, which reads a header as Python 2 wrote it when it cannot read it otherwise.
    tokenize.TokenError,
    SymbiontError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
Arrays = dict[str, "npt.NDArray[Any]"]


def outcome_to_bytes(outcome: Outcome) -> bytes:
    """Returns the stored form; equal outcomes have equal bytes."""
    rows = outcome.rows
    arrays: Arrays = {"rows.ids": rows.ids, "rows.tokens": rows.tokens, "rows.groups": rows.groups}
    arrays |= {f"slices.{index}": part.codes for index, part in enumerate(rows.slices)}
    plain: dict[str, Any] = {}
    for part in fields(outcome):
        value = getattr(outcome, part.name)
        if isinstance(value, Ragged):
            arrays |= {f"{part.name}.offsets": value.offsets, f"{part.name}.values": value.values}
        elif isinstance(value, np.ndarray):
            arrays[part.name] = value
        elif part.name != "rows":
            plain[part.name] = value
    slices = [{"name": part.name, "values": part.values} for part in rows.slices]
    meta = {"format_version": FORMAT_VERSION, "kind": kind_of(outcome), "plain": plain, "slices": slices}
    arrays[_META] = np.frombuffer(json.dumps(meta, sort_keys=True).encode(), np.uint8)
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **{name: _narrow(array) for name, array in arrays.items()})
    return stream.getvalue()


def kind_of(outcome: Outcome) -> Kind:
    """Returns the name that a kind of outcome is stored under."""
    return next(name for name, kind in KINDS.items() if type(outcome) is kind)


def outcome_from_bytes(data: bytes) -> Outcome:
    """Returns what was stored.

    Raises:
        IntegrityError: the bytes are not an outcome, or not of this version.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays: Arrays = {name: _wide(file[name]) for name in file.files}
        meta = json.loads(bytes(arrays.pop(_META)))
        if meta["format_version"] != FORMAT_VERSION:
            raise IntegrityError(
                f"the outcome has format {meta['format_version']}, this version reads {FORMAT_VERSION}"
            )
        plain = {name: _frozen(value) for name, value in meta["plain"].items()}
        return KINDS[meta["kind"]](rows=_rows(arrays, meta["slices"]), **plain, **_parts(arrays))
    except IntegrityError:
        raise
    except _UNREADABLE as exc:
        raise IntegrityError(f"the bytes are not the outcome of an evaluation: {exc}") from exc


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _narrow(array: "npt.NDArray[Any]") -> "npt.NDArray[Any]":
    """Returns whole numbers in half the bytes: none counts more than rows, tokens or letters."""
    return array.astype(np.int32) if array.dtype.kind == "i" else array


def _wide(array: "npt.NDArray[Any]") -> "npt.NDArray[Any]":
    return array.astype(np.int64) if array.dtype.kind == "i" else array


def _rows(arrays: Arrays, slices: list[Mapping[str, Any]]) -> Rows:
    parts = tuple(
        Slice(part["name"], tuple(part["values"]), arrays.pop(f"slices.{index}")) for index, part in enumerate(slices)
    )
    ids, tokens, groups = (arrays.pop(f"rows.{name}") for name in ("ids", "tokens", "groups"))
    return Rows(ids, tokens, groups, parts)


def _parts(arrays: Arrays) -> dict[str, Any]:
    """Returns the fields of an outcome that are arrays, those in two parts put together."""
    names = {name.partition(".")[0] for name in arrays}
    return {
        name: arrays[name] if name in arrays else Ragged(arrays[f"{name}.offsets"], arrays[f"{name}.values"])
        for name in names
    }
