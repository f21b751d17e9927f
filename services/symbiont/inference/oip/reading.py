"""From input tensors to what is predicted on: texts, or rows of token ids."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from symbiont.common.errors import InvalidArgument
from symbiont.common.texts import check_text
from symbiont.inference.oip.tensors import ATTENTION_MASK, INPUT_IDS, LABEL, OUTPUTS, TEXT, Tensor
from symbiont.inference.tokens import Ids

_LARGEST_ID = np.iinfo(np.int32).max


@dataclass(frozen=True)
class RequestedOutput:
    """An output that the caller wants; `classes` above 0 asks for that many as `value:index:label`."""

    name: str
    classes: int = 0


ALL_OUTPUTS = tuple(RequestedOutput(name) for name in OUTPUTS)


@dataclass(frozen=True)
class Batch:
    """What a call asks about: texts, or, where the caller tokenized itself, rows of ids."""

    texts: Sequence[str] = ()
    rows: Sequence[Ids] = ()

    def __len__(self) -> int:
        return len(self.texts) or len(self.rows)


def read_batch(tensors: Sequence[Tensor], max_text_bytes: int) -> Batch:
    """Reads the inputs of a call, whose headers have passed their checks.

    Raises:
        InvalidArgument: the inputs do not go together, or an element is not allowed; it names the input.
    """
    inputs: dict[str, Tensor] = {}
    for tensor in tensors:
        if tensor.name in inputs:
            raise InvalidArgument(tensor.name, "it is given twice")
        inputs[tensor.name] = tensor
    if TEXT in inputs:
        for other in (INPUT_IDS, ATTENTION_MASK):
            if other in inputs:
                raise InvalidArgument(other, f"it does not go with {TEXT}: give texts or token ids")
        return Batch(texts=_texts(inputs[TEXT], max_text_bytes))
    if INPUT_IDS not in inputs:
        raise InvalidArgument("inputs", f"there is neither {TEXT} nor {INPUT_IDS}", reason="BATCH_EMPTY")
    return Batch(rows=_rows(inputs))


def check_outputs(outputs: Sequence[RequestedOutput]) -> Sequence[RequestedOutput]:
    """Returns the outputs to give, all where none is asked for; refuses unknown ones and repetitions."""
    names = [output.name for output in outputs]
    for output in outputs:
        if output.name not in OUTPUTS:
            there = ", ".join(OUTPUTS)
            raise InvalidArgument(f"outputs[{output.name[:100]!r}]", f"there is no such output; there are {there}")
        if names.count(output.name) > 1:
            raise InvalidArgument(output.name, "it is asked for twice")
        if output.name == LABEL and output.classes:
            raise InvalidArgument(LABEL, "it has no numbers to choose classes by: ask for PROBABILITIES")
    return outputs or ALL_OUTPUTS


def _texts(tensor: Tensor, max_bytes: int) -> Sequence[str]:
    texts = []
    for index, element in enumerate(tensor.values.reshape(-1)):
        field = f"{TEXT}[{index}]"
        try:
            text = element.decode()
        except UnicodeDecodeError as exc:
            raise InvalidArgument(field, "it is not UTF-8") from exc
        check_text(field, text, max_bytes)
        texts.append(text)
    return texts


def _rows(inputs: Mapping[str, Tensor]) -> Sequence[Ids]:
    ids = inputs[INPUT_IDS].values
    starts, ends = _spans(inputs[ATTENTION_MASK].values, ids.shape) if ATTENTION_MASK in inputs else _whole(ids)
    rows = [row[start:end] for row, start, end in zip(ids, starts, ends, strict=True)]
    for index, row in enumerate(rows):
        if row.min() < 0 or row.max() > _LARGEST_ID:
            raise InvalidArgument(f"{INPUT_IDS}[{index}]", f"its ids are not all from 0 to {_LARGEST_ID}")
    return [row.astype(np.int32) for row in rows]


def _whole(ids: NDArray[np.integer]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return np.zeros(len(ids), dtype=np.intp), np.full(len(ids), ids.shape[1], dtype=np.intp)


def _spans(mask: NDArray[np.integer], shape: tuple[int, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Returns where the ones of each row begin and end; padding may stand on either side, not between."""
    if mask.shape != shape:
        raise InvalidArgument(ATTENTION_MASK, f"its shape {list(mask.shape)} is not that of {INPUT_IDS}, {list(shape)}")
    ones = mask == 1
    if not (ones | (mask == 0)).all():
        raise InvalidArgument(ATTENTION_MASK, "its elements are not all 0 or 1")
    starts, ends = ones.argmax(axis=1), shape[1] - ones[:, ::-1].argmax(axis=1)
    counts = ones.sum(axis=1)
    if not counts.all():
        raise InvalidArgument(f"{ATTENTION_MASK}[{int(counts.argmin())}]", "it leaves no token", reason="TEXT_EMPTY")
    broken = ends - starts != counts
    if broken.any():
        raise InvalidArgument(f"{ATTENTION_MASK}[{int(broken.argmax())}]", "there are zeros between its ones")
    return starts, ends
