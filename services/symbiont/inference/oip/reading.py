"""From input tensors to what is predicted on: texts, or rows of token ids."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbiont.common.errors import InvalidArgument
from symbiont.common.texts import check_text
from symbiont.inference.instances import FieldValue, Instance, Pair, QuestionContext, Text
from symbiont.inference.oip.signature import (
    ATTENTION_MASK,
    INPUT_IDS,
    TEXT,
    TEXT_PAIR,
    TOKEN_TYPE_IDS,
    TOKENS,
    checked,
    field_name,
    needs_pairs,
)
from symbiont.inference.oip.tensors import BYTES, Tensor, place
from symbiont.inference.tokens import Ids
from symbiont.inference.types import BundleInfo

Fields = Sequence[tuple[str, FieldValue]]
_LARGEST_ID = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Texts:
    """A call about texts, or pairs of them."""

    instances: Sequence[Instance]

    @property
    def paired(self) -> bool:
        """Whether it is about pairs."""
        return not isinstance(self.instances[0].input, Text)

    def __len__(self) -> int:
        return len(self.instances)


@dataclass(frozen=True, eq=False)
class TokenRows:
    """A call of somebody who tokenized, about rows of ids.

    Attributes:
        rows: ids of each row, without its padding.
        starts: where they began in the row as it was given, `width` wide.
        segment_starts: where the second text begins; 0 where there is one text.
        fields: business fields of each row.
    """

    rows: Sequence[Ids]
    starts: Sequence[int]
    width: int
    segment_starts: Sequence[int]
    fields: Sequence[Fields]

    def __len__(self) -> int:
        return len(self.rows)


Batch = Texts | TokenRows


def read_batch(tensors: Sequence[Tensor], bundle: BundleInfo, max_text_bytes: int) -> Batch:
    """Reads the inputs of a call.

    Raises:
        InvalidArgument: the model does not take them, they do not go together, or an element is not allowed; it names
            the input.
    """
    inputs = checked(tensors, bundle)
    if TEXT in inputs:
        for other in TOKENS:
            if other in inputs:
                raise InvalidArgument(other, f"it does not go with {TEXT}: give texts or token ids")
        return Texts(_instances(inputs, bundle, max_text_bytes))
    if TEXT_PAIR in inputs:
        raise InvalidArgument(TEXT_PAIR, f"it goes with {TEXT}, which is not given")
    if INPUT_IDS not in inputs:
        raise InvalidArgument("inputs", f"there is neither {TEXT} nor {INPUT_IDS}", reason="BATCH_EMPTY")
    return _token_rows(inputs, bundle, max_text_bytes)


def _instances(inputs: Mapping[str, Tensor], bundle: BundleInfo, max_bytes: int) -> Sequence[Instance]:
    texts, fields = _texts(inputs[TEXT], max_bytes), _fields(inputs, bundle, max_bytes)
    if TEXT_PAIR in inputs:
        kind = QuestionContext if bundle.head.kind == "spans" else Pair
        seconds = _texts(inputs[TEXT_PAIR], max_bytes)
        return [Instance(kind(*two), own) for *two, own in zip(texts, seconds, fields, strict=True)]
    if needs_pairs(bundle):
        raise InvalidArgument(TEXT_PAIR, "the model looks at pairs of texts: give the second ones")
    return [Instance(Text(text), own) for text, own in zip(texts, fields, strict=True)]


def _texts(tensor: Tensor, max_bytes: int) -> Sequence[str]:
    texts = []
    for name, text in _decoded(tensor):
        check_text(name, text, max_bytes)
        texts.append(text)
    return texts


def _decoded(tensor: Tensor) -> Iterator[tuple[str, str]]:
    """Yields the elements with their names."""
    for index, element in enumerate(tensor.values.reshape(-1)):
        name = f"{place(tensor.name)}[{index}]"
        try:
            yield name, element.decode()
        except UnicodeDecodeError as exc:
            raise InvalidArgument(name, "it is not UTF-8") from exc


def _fields(inputs: Mapping[str, Tensor], bundle: BundleInfo, max_bytes: int) -> Sequence[Fields]:
    """Returns the business fields of each row. An empty category is a missing one."""
    rows = len(next(iter(inputs.values())).values)
    columns = [
        (field.name, _column(inputs[field_name(field)], max_bytes))
        for field in bundle.fields
        if field_name(field) in inputs
    ]
    if not columns:
        return [()] * rows
    return [[(name, values[row]) for name, values in columns if values[row] != ""] for row in range(rows)]


def _column(tensor: Tensor, max_bytes: int) -> Sequence[Any]:
    if tensor.datatype != BYTES:
        values: list[Any] = tensor.values.reshape(-1).tolist()
        return values
    texts = []
    for name, text in _decoded(tensor):
        if text:
            check_text(name, text, max_bytes)
        texts.append(text)
    return texts


def _token_rows(inputs: Mapping[str, Tensor], bundle: BundleInfo, max_bytes: int) -> TokenRows:
    ids = inputs[INPUT_IDS].values
    starts, ends = _spans(inputs[ATTENTION_MASK].values, ids.shape) if ATTENTION_MASK in inputs else _whole(ids)
    places = list(zip(starts.tolist(), ends.tolist(), strict=True))
    rows = [row[start:end] for row, (start, end) in zip(ids, places, strict=True)]
    for index, row in enumerate(rows):
        if row.min() < 0 or row.max() > _LARGEST_ID:
            raise InvalidArgument(f"{INPUT_IDS}[{index}]", f"its ids are not all from 0 to {_LARGEST_ID}")
        if len(row) > bundle.max_tokens:
            # Not cut, as a text would be: only the caller knows where its special tokens stand.
            problem = f"it has {len(row)} tokens, the model takes at most {bundle.max_tokens}"
            raise InvalidArgument(f"{INPUT_IDS}[{index}]", problem)
    return TokenRows(
        [row.astype(np.int32) for row in rows],
        starts.tolist(),
        ids.shape[1],
        _segment_starts(inputs.get(TOKEN_TYPE_IDS), ids.shape, places, bundle),
        _fields(inputs, bundle, max_bytes),
    )


def _whole(ids: NDArray[np.integer]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return np.zeros(len(ids), dtype=np.intp), np.full(len(ids), ids.shape[1], dtype=np.intp)


def _spans(mask: NDArray[np.integer], shape: tuple[int, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Returns where the ones of each row begin and end; padding may stand on either side, not between."""
    ones = _bits(ATTENTION_MASK, mask, shape)
    starts, ends = ones.argmax(axis=1), shape[1] - ones[:, ::-1].argmax(axis=1)
    counts = ones.sum(axis=1)
    if not counts.all():
        raise InvalidArgument(f"{ATTENTION_MASK}[{int(counts.argmin())}]", "it leaves no token", reason="TEXT_EMPTY")
    broken = ends - starts != counts
    if broken.any():
        raise InvalidArgument(f"{ATTENTION_MASK}[{int(broken.argmax())}]", "there are zeros between its ones")
    return starts, ends


def _segment_starts(
    types: Tensor | None, shape: tuple[int, ...], places: Sequence[tuple[int, int]], bundle: BundleInfo
) -> Sequence[int]:
    """Returns where the second text of each row begins: in a row of types, zeros come first, then ones."""
    if types is None:
        return [0] * len(places)
    starts = []
    for index, (row, (start, end)) in enumerate(zip(_bits(TOKEN_TYPE_IDS, types.values, shape), places, strict=True)):
        own = row[start:end]
        begin = int(own.argmax())
        if own.any() and (not needs_pairs(bundle) or begin == 0 or not own[begin:].all()):
            form = "zeros and then ones" if needs_pairs(bundle) else "all 0, for the model looks at one text"
            raise InvalidArgument(f"{TOKEN_TYPE_IDS}[{index}]", f"its elements are not {form}")
        starts.append(begin)
    return starts


def _bits(name: str, values: NDArray[np.integer], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    if values.shape != shape:
        raise InvalidArgument(name, f"its shape {list(values.shape)} is not that of {INPUT_IDS}, {list(shape)}")
    ones: NDArray[np.bool_] = values == 1
    if not (ones | (values == 0)).all():
        raise InvalidArgument(name, "its elements are not all 0 or 1")
    return ones
